"""Small changes of settings: every number of every step, a tenth of it, up and down."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pipeline.evidence.markdown import moved_table
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.sensitivity import find_numbers, moved_numbers, variants

TOP = {"method": "top_k", "score": "ifd", "budget": {"loss_tokens": 1000}}
BUDGET = [f"select.steps.{{}}.budget.loss_tokens 1000 → {moved}" for moved in (1100, 900)]


def changes(*steps: dict[str, Any], seed: int = 0) -> dict[str, SelectSettings | str]:
    """Of a selection by these steps, without the seed and the budget of a last one."""
    settings = SelectSettings.model_validate({"steps": [*steps, TOP]})
    found = {each.change: each.settings for each in variants(settings, seed)}
    last = [each.format(len(steps)) for each in BUDGET]
    assert next(iter(found)) == f"seed {seed} → {seed + 1}" and list(found)[-2:] == last
    return {name: each for name, each in found.items() if name not in last and name[:4] != "seed"}


@pytest.mark.parametrize(
    ("number", "moved"),
    [
        (2.0, (2.2, 1.8)),
        (-2.0, (-1.8, -2.2)),  # up is towards 0
        (3.0, (3.3, 2.7)),  # and not 3.3000000000000003
        (0.0, ()),
        (0, (1, -1)),
        (4, (5, 3)),
        (15, (17, 13)),  # 1.5 is rounded to the even 2
        (-20, (-18, -22)),
    ],
)
def test_a_number_moves_by_a_tenth_and_a_whole_one_by_one_at_least(
    number: float, moved: Sequence[float]
) -> None:
    found = moved_numbers(number)
    assert tuple(found) == moved
    assert all(isinstance(each, type(number)) for each in found)


def test_numbers_are_found_wherever_they_stand() -> None:
    blend = {"weights": {"a": 1.0, "b": -0.5}}
    shares = {"quotas": {"x.jsonl": 0.5}, "temperature": 2}
    step = {**TOP, "method": "diverse", "score": blend, "shares": shares}
    settings = SelectSettings.model_validate({"steps": [step]})
    assert dict(find_numbers(settings.rank)) == {
        ("budget", "loss_tokens"): 1000,
        ("shares", "quotas", "x.jsonl"): 0.5,
        ("shares", "temperature"): 2.0,
        ("score", "weights", "a"): 1.0,
        ("score", "weights", "b"): -0.5,
        ("max_similarity",): 0.9,
    }


def test_each_variant_has_its_number_and_no_other_changed() -> None:
    first = {"method": "threshold", "score": "s", "at_least": 1.0}
    found = changes(first, {**first, "at_least": 3.0})
    assert {
        name: [step.model_dump()["at_least"] for step in each.filters]
        for name, each in found.items()
        if isinstance(each, SelectSettings)
    } == {
        "select.steps.0.at_least 1 → 1.1": [1.1, 3.0],
        "select.steps.0.at_least 1 → 0.9": [0.9, 3.0],
        "select.steps.1.at_least 3 → 3.3": [1.0, 3.3],
        "select.steps.1.at_least 3 → 2.7": [1.0, 2.7],
    }


def test_what_a_step_does_not_allow_is_skipped_and_said() -> None:
    bounds = {"method": "threshold", "score": "s", "at_least": 1.0, "at_most": 1.05}
    nothing = {"method": "threshold", "score": "s", "at_least": 0.0}
    share = {"method": "top_share", "score": "s", "share": 0.95}
    stage = {"method": "dmt", "specialised": ["x"], "fraction": "1/4", "stage": 1, "seed": 5}
    found = changes(bounds, nothing, share, stage)
    assert {name: each for name, each in found.items() if isinstance(each, str)} == {
        "select.steps.0.at_least 1 → 1.1": "at_least 1.1 is above at_most 1.05",
        "select.steps.0.at_most 1.05 → 0.945": "at_least 1.0 is above at_most 0.945",
        "select.steps.1.at_least 0": "a tenth of 0 is 0",
        "select.steps.2.share 0.95 → 1.045": "Input should be less than or equal to 1",
    }
    assert [name for name, each in found.items() if not isinstance(each, str)] == [
        "select.steps.0.at_least 1 → 0.9",
        "select.steps.0.at_most 1.05 → 1.155",
        "select.steps.2.share 0.95 → 0.855",
        "select.steps.3.fraction 0.25 → 0.275",
        "select.steps.3.fraction 0.25 → 0.225",
        "select.steps.3.seed 5 → 6",
        "select.steps.3.seed 5 → 4",
    ], "the stage of dmt is a choice of two and no number"


def test_a_report_has_what_was_tried_and_what_was_not() -> None:
    moved: list[Mapping[str, Any]] = [
        {"change": "seed 3 → 4", "moved": 0.25, "rows": 8, "why_not": ""},
        {"change": "a 0", "moved": None, "rows": None, "why_not": "a tenth of 0 is 0"},
    ]
    assert moved_table(moved).splitlines()[2:] == [
        "| seed 3 → 4 | 25.0% | 8 |",
        "",
        "- not tried: a 0: a tenth of 0 is 0",
    ]
