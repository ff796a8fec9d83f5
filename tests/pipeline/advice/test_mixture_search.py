from collections.abc import Callable

import pytest
from scipy.stats import ttest_rel

from pipeline.advice.mixture_search import (
    Added,
    bound_mixtures,
    compare_seeds,
    neighbours,
    search_mixtures,
)

NAMES = ["chat", "maths", "code"]


def worth(**gains: float) -> tuple[list[Added], Callable[[Added], list[float]]]:
    """A law where each export lowers the loss by so much; and what was asked, in order."""
    asked: list[Added] = []

    def losses_of(added: Added) -> list[float]:
        asked.append(added)
        loss = 2 - sum(gains.get("_".join(added[:n]), 0) for n in range(1, 1 + len(added)))
        loss -= sum(gains.get(name, 0) for name in added[1:])
        return [loss - 0.01, loss + 0.01]

    return asked, losses_of


def test_each_mixture_has_one_export_more_or_less_in_the_order_given() -> None:
    assert neighbours(("maths",), NAMES) == [("chat", "maths"), (), ("maths", "code")]


def test_what_helps_is_added_and_what_does_not_is_tried_once() -> None:
    asked, losses_of = worth(chat=0.1, maths=0.2, code=-0.3)
    found = search_mixtures(NAMES, losses_of)
    assert found.best.added == ("chat", "maths") and found.best.mean == pytest.approx(1.7)
    assert asked[:4] == [(), ("chat",), ("maths",), ("code",)], "the task alone, then each"
    assert asked[4:6] == [("chat", "maths"), ("maths", "code")], "from the best of them"
    assert len(asked) == len({*asked}) and not found.stopped


def test_a_second_step_is_taken_without_a_gain_and_a_third_is_not() -> None:
    # Nothing helps alone; chat and maths do together.
    together: dict[Added, float] = {("chat", "maths"): 1.0}
    asked: list[Added] = []

    def losses_of(added: Added) -> list[float]:
        asked.append(added)
        return [together.get(added, 2 + len(added) / 10)]

    found = search_mixtures(NAMES, losses_of)
    assert found.best.added == ("chat", "maths")
    asked, nothing_helps = worth(chat=-0.1, maths=-0.2, code=-0.3)
    found = search_mixtures(NAMES, nothing_helps)
    assert found.best.added == ()
    assert asked == [(), ("chat",), ("maths",), ("code",), ("chat", "maths"), ("chat", "code")]
    assert len(asked) == bound_mixtures(3)[0]


def test_an_export_that_is_no_longer_good_is_dropped() -> None:
    # Alone chat is best; with maths and code it is in the way.
    law = {("chat",): 1.8, ("chat", "maths"): 1.6, ("chat", "maths", "code"): 1.5}
    law[("maths", "code")] = 1.1
    found = search_mixtures(NAMES, lambda added: [law.get(added, 2.0)])
    assert found.best.added == ("maths", "code")


def test_an_end_by_what_is_allowed_is_told() -> None:
    asked, losses_of = worth(chat=0.1, maths=0.2)
    found = search_mixtures(NAMES, losses_of, at_most=3)
    assert asked == [(), ("chat",), ("maths",)] and found.stopped
    assert found.best.added == ("maths",)
    asked, losses_of = worth(chat=0.1)
    assert not search_mixtures(["chat"], losses_of, at_most=2).stopped and len(asked) == 2
    assert bound_mixtures(1) == (2, 2) and bound_mixtures(0) == (1, 1)


def test_of_equal_mixtures_the_one_with_less_is_best() -> None:
    assert search_mixtures(NAMES, lambda _: [1.0]).best.added == ()


def test_seeds_are_compared_in_pairs() -> None:
    alone, mixed = [2.0, 2.2, 2.1], [1.9, 2.05, 2.0]
    gain = compare_seeds(alone, mixed)
    interval = ttest_rel(alone, mixed).confidence_interval()
    assert gain.mean == pytest.approx(0.35 / 3)
    assert gain.interval == pytest.approx((interval.low, interval.high))
    assert gain.verdict == "better"
    assert compare_seeds(mixed, alone).verdict == "worse"
    assert compare_seeds([2.0, 2.2], [1.9, 2.3]).verdict == "not decided"
    assert compare_seeds([2.0], [1.0]).interval is None
    assert compare_seeds([2.0], [1.0]).verdict == "one seed"
    with pytest.raises(ValueError, match="2 losses alone and 1"):
        compare_seeds([2.0, 2.0], [1.0])
