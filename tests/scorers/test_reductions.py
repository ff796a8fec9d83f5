"""Reductions, by hand: a row of three turns, one of one, and one of none."""

import numpy as np
import pytest

from scorers.reductions import Reduction, as_turns, reduce_turns

NAN = float("nan")
TOKENS = np.array([[10.0, 4.0, 8.0], [5.0, NAN, NAN], [NAN, NAN, NAN]])
LOSSES = np.array([[20.0, 16.0, 24.0], [10.0, NAN, NAN], [NAN, NAN, NAN]])
ALONE = np.array([[40.0, 16.0, 32.0], [20.0, NAN, NAN], [NAN, NAN, NAN]])


@pytest.mark.parametrize(
    ("reduction", "losses", "alone"),
    [
        ("token", 60 / 22, 88 / 22),
        ("turn", (2 + 4 + 3) / 3, (4 + 4 + 4) / 3),
        ("first", 2.0, 4.0),
        ("last", 3.0, 4.0),
        ("worst", 3.0, 4.0),  # the second is worse, at 4, and has fewer than 8 tokens
    ],
)
def test_each_reduction(reduction: Reduction, losses: float, alone: float) -> None:
    found = reduce_turns({"mean_nll": LOSSES, "mean_nll_alone": ALONE}, TOKENS, reduction)
    assert found["mean_nll"] == pytest.approx([losses, 2.0, NAN], nan_ok=True)
    assert found["mean_nll_alone"] == pytest.approx([alone, 4.0, NAN], nan_ok=True)


def test_of_short_turns_alone_the_worst_is_one_of_them() -> None:
    tokens, losses = np.array([[2.0, 7.0]]), np.array([[8.0, 7.0]])
    assert reduce_turns({"mean_nll": losses}, tokens, "worst")["mean_nll"].tolist() == [4.0]


def test_the_worst_turn_is_that_of_the_first_column_for_all() -> None:
    tokens = np.array([[10.0, 10.0]])
    sums = {"mean_nll": np.array([[10.0, 20.0]]), "mean_nll_alone": np.array([[90.0, 30.0]])}
    found = reduce_turns(sums, tokens, "worst")
    assert (found["mean_nll"].tolist(), found["mean_nll_alone"].tolist()) == ([2.0], [3.0])


def test_tokens_are_weighed_the_same_however_a_dialogue_is_cut() -> None:
    cut, whole = np.array([[3.0, 9.0]]), np.array([[12.0]])
    parts, sums = np.array([[6.0, 6.0]]), np.array([[12.0]])
    by_token = [
        reduce_turns({"nll": column}, tokens, "token")["nll"].tolist()
        for column, tokens in ((parts, cut), (sums, whole))
    ]
    assert by_token == [[1.0], [1.0]]
    assert reduce_turns({"nll": parts}, cut, "turn")["nll"].tolist() != [1.0]


def test_a_column_without_turns_has_one_place_for_each_row() -> None:
    assert as_turns(np.array([NAN, NAN])).shape == (2, 1)
    assert as_turns(np.empty(0)).shape == (0, 1)
    assert as_turns(LOSSES) is LOSSES
