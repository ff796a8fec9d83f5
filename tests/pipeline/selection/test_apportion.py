"""Shares in whole numbers: exact sums, ties, caps, temperatures, turns."""

import math
from fractions import Fraction

import pytest

from pipeline.selection.apportion import (
    largest_remainders,
    quota_weights,
    share_out,
    take_turns,
    temperature_weights,
)


def exact(**weights: float) -> dict[str, Fraction]:
    return {name: Fraction(str(weight)) for name, weight in weights.items()}


def test_what_is_left_goes_to_the_largest_remainders() -> None:
    # 10 by 5 : 3 : 1 is 5.56, 3.33, 1.11; the floors make 9, and 0.56 is the largest remainder.
    assert largest_remainders(exact(a=5, b=3, c=1), 10) == {"a": 6, "b": 3, "c": 1}


def test_equal_remainders_go_to_the_name_that_comes_first() -> None:
    assert largest_remainders(exact(z=1, b=1, m=1), 5) == {"b": 2, "m": 2, "z": 1}


@pytest.mark.parametrize("total", [0, 1, 7, 100, 12345])
def test_the_parts_add_up_exactly(total: int) -> None:
    weights = temperature_weights({"a": 17, "b": 250, "c": 3, "d": 990}, 1.7)
    assert sum(largest_remainders(weights, total).values()) == total


def test_nothing_to_share_by_is_an_error() -> None:
    with pytest.raises(ValueError, match="every weight is 0"):
        largest_remainders(exact(a=0), 3)


def test_temperature_1_is_natural_and_an_infinite_one_uniform() -> None:
    sizes = {"a": 100, "b": 300, "empty": 0}
    natural = temperature_weights(sizes, 1)
    assert natural == {"a": Fraction(1, 4), "b": Fraction(3, 4), "empty": 0}
    assert temperature_weights(sizes, math.inf) == exact(a=0.5, b=0.5, empty=0)
    # n ** (1/2): 10 and 30 ** 0.5 * 10 ** 0.5 stand as 1 : 3 ** 0.5
    assert float(temperature_weights(sizes, 2)["a"]) == pytest.approx(1 / (1 + 3**0.5))


def test_small_groups_gain_as_the_temperature_grows() -> None:
    parts = [float(temperature_weights({"a": 10, "b": 990}, t)["a"]) for t in (0.01, 1, 2, 5, 100)]
    assert parts == sorted(parts) and parts[0] < 1e-9 and parts[-1] > 0.48


def test_a_temperature_must_be_above_0() -> None:
    with pytest.raises(ValueError, match="above 0, got 0"):
        temperature_weights({"a": 1}, 0)


def test_quotas_come_first_and_the_others_share_what_they_leave() -> None:
    sizes = {"a": 10, "b": 30, "c": 10}
    assert quota_weights(sizes, {"a": 0.6}, 1, "share") == exact(a=0.6, b=0.3, c=0.1)
    assert quota_weights(sizes, {"a": 0.6}, 1, "drop") == exact(a=0.6, b=0, c=0)


def test_what_a_small_group_leaves_is_shared_by_the_same_weights() -> None:
    # a gets its 10 of 50; the other 90 go 3 : 2 and not 30 : 20 with 40 left over.
    holds = {"a": 10, "b": 1000, "c": 1000}
    assert share_out(exact(a=0.5, b=0.3, c=0.2), holds, 100) == {"a": 10, "b": 54, "c": 36}


def test_a_group_may_be_filled_by_what_another_leaves() -> None:
    # b's 30 fit into 50 until a leaves 40 of its own: then b is due 54 and is full too.
    holds = {"a": 10, "b": 50, "c": 1000}
    assert share_out(exact(a=0.5, b=0.3, c=0.2), holds, 100) == {"a": 10, "b": 50, "c": 40}


def test_a_group_is_full_by_what_is_left_and_not_by_the_whole_budget() -> None:
    holds = {"a": 10, "b": 57, "c": 1000}  # of the 90 that a leaves b is due 54, of 100 it were 60
    assert share_out(exact(a=0.5, b=0.3, c=0.2), holds, 100) == {"a": 10, "b": 54, "c": 36}


def test_no_group_gets_more_than_it_holds_and_none_without_weight_gets_anything() -> None:
    holds = {"a": 3, "b": 4, "c": 100}
    assert share_out(exact(a=1, b=1, c=0), holds, 100) == {"a": 3, "b": 4, "c": 0}
    assert share_out({}, {}, 5) == {}


def test_picks_take_turns_in_proportion() -> None:
    order = take_turns({"a": 4, "b": 2, "c": 0})
    assert "".join(name for name, _ in order) == "abaaba"
    assert [pick for name, pick in order if name == "a"] == [0, 1, 2, 3]
