"""Small changes of settings: which are tried, and that "higher" is higher."""

from typing import Any

import pytest

from pipeline.selection.methods.threshold import Threshold
from pipeline.selection.methods.top_k import TopK
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.sensitivity import moved_bounds, moved_weights, variants

TOP = {"method": "top_k", "score": "ifd", "budget": {"rows": 3}}


def bounds(**given: float) -> dict[str, tuple[float | None, float | None]]:
    step = Threshold.model_validate({"method": "threshold", "score": "s", **given})
    moved = dict(moved_bounds(step))
    return {
        change: (each.at_least, each.at_most)
        for change, each in moved.items()
        if isinstance(each, Threshold)
    }


@pytest.mark.parametrize("bound", [2.0, -2.0])
@pytest.mark.parametrize("name", ["at_least", "at_most"])
def test_a_bound_goes_up_where_it_is_called_higher(name: str, bound: float) -> None:
    moved = bounds(**{name: bound})
    place = ("at_least", "at_most").index(name)
    assert moved[f"{name} of s 10 % higher"][place] == pytest.approx(bound + 0.2)
    assert moved[f"{name} of s 10 % lower"][place] == pytest.approx(bound - 0.2)
    assert len(moved) == 2 and all(each[1 - place] is None for each in moved.values())


def test_a_bound_does_not_pass_the_other_and_may_meet_it() -> None:
    assert set(bounds(at_least=1.0, at_most=1.05)) == {
        "at_least of s 10 % lower",
        "at_most of s 10 % higher",
    }
    assert "at_least of s 10 % higher" in bounds(at_least=10.0, at_most=11.0)


def test_a_bound_of_nothing_cannot_be_moved_by_a_share_of_it() -> None:
    assert bounds(at_least=0.0) == {}


def weights(given: dict[str, float]) -> dict[str, Any]:
    step = TopK.model_validate({**TOP, "score": {"weights": given}})
    return {change: each.model_dump() for change, each in moved_weights(step)}


def test_each_weight_is_moved_alone_and_keeps_its_sign() -> None:
    moved = weights({"a": 1.0, "b": -0.5})
    found = {change: each["score"]["weights"] for change, each in moved.items()}
    assert found == {
        "weight of a 10 % larger": {"a": pytest.approx(1.1), "b": -0.5},
        "weight of a 10 % smaller": {"a": pytest.approx(0.9), "b": -0.5},
        "weight of b 10 % larger": {"a": 1.0, "b": pytest.approx(-0.55)},
        "weight of b 10 % smaller": {"a": 1.0, "b": pytest.approx(-0.45)},
    }
    assert weights({"a": 1.0}) == {}


def test_each_change_is_of_one_step_and_the_seed_is_the_next() -> None:
    first = {"method": "threshold", "score": "s", "at_least": 1.0}
    settings = SelectSettings.model_validate({"steps": [first, {**first, "at_least": 3.0}, TOP]})
    found = list(variants(settings, seed=7))
    assert found[0] == ("seed 7 → 8", settings, 8)
    least = [
        [step.at_least for step in each.steps if isinstance(step, Threshold)]
        for _, each, seed in found[1:]
        if seed == 7
    ]
    expected = [[1.1, 3.0], [0.9, 3.0], [1.0, 3.3], [1.0, 2.7]]
    assert least == [pytest.approx(each) for each in expected]
    assert all(each.steps[-1] == settings.steps[-1] for _, each, _ in found)
