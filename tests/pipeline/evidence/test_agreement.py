"""Rank agreement: Spearman's number, over rows that have both, and the rows at opposite ends."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.evidence.agreement import most_disputed, rank_agreement

NAN = np.nan


def test_it_is_spearmans_over_the_rows_that_have_both() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    a[:20], b[10:30] = NAN, NAN
    (found,) = rank_agreement({"a": a, "b": b})
    assert found.scores == ("a", "b") and found.rows == 170
    assert found.rho == spearmanr(a[30:], b[30:]).statistic  # to the last bit: it is stored


def test_a_monotone_change_of_unit_makes_no_difference() -> None:
    a = np.random.default_rng(1).standard_normal(50)
    (same,) = rank_agreement({"a": a, "b": np.exp(a)})
    (opposite,) = rank_agreement({"a": a, "b": -(a**3)})
    assert same.rho == pytest.approx(1) and opposite.rho == pytest.approx(-1)


def test_no_number_where_nothing_can_be_said() -> None:
    flat, few = np.ones(5), np.array([1.0, 2.0, NAN, NAN, NAN])
    rising = np.arange(5.0)
    assert [each.rho for each in rank_agreement({"a": flat, "b": rising})] == [None]
    assert [each.rho for each in rank_agreement({"a": few, "b": rising})] == [None]


def test_the_row_at_opposite_ends_comes_first_and_says_who_puts_it_where() -> None:
    ids = np.array(["d", "c", "b", "a"], dtype=object)
    scores = {"x": np.array([0.0, 1.0, 2.0, 3.0]), "y": np.array([9.0, 1.0, 2.0, 3.0])}
    first = most_disputed(scores, ids)[0]
    assert (first.example_id, first.high, first.low) == ("d", "y", "x")
    assert (first.high_share, first.low_share) == (1, 0)


def test_of_scores_that_put_a_row_alike_the_first_by_name_is_told() -> None:
    up, down = np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 0.0])
    scores = {"z": up, "b": down, "a": up, "y": down}
    ids = np.array(["p", "q", "r"], dtype=object)
    told = [(each.example_id, each.high, each.low) for each in most_disputed(scores, ids)]
    assert told == [("p", "b", "a"), ("r", "a", "b")]
    pairs = [each.scores for each in rank_agreement(scores)]
    assert pairs == [("a", "b"), ("a", "y"), ("a", "z"), ("b", "y"), ("b", "z"), ("y", "z")]


def test_rows_on_which_all_scores_agree_are_not_in_dispute() -> None:
    ids = np.array(["c", "b", "a", "d"], dtype=object)
    x = np.array([0.0, 1.0, 2.0, 3.0])
    assert most_disputed({"x": x, "y": x * 2}, ids) == []
    disputed = most_disputed({"x": x, "y": np.array([0.0, 2.0, 1.0, 3.0])}, ids)
    assert [each.example_id for each in disputed] == ["a", "b"]


def test_a_row_with_one_score_is_not_in_dispute_and_ties_break_by_id() -> None:
    ids = np.array(["b", "a", "c"], dtype=object)
    scores = {"x": np.array([1.0, 1.0, 2.0]), "y": np.array([2.0, 2.0, NAN])}
    assert [each.example_id for each in most_disputed(scores, ids, 5)] == ["a", "b"]
    assert most_disputed({"x": scores["x"]}, ids) == []


def test_three_rows_are_enough() -> None:
    three = np.array([1.0, 2.0, 4.0, NAN])
    (found,) = rank_agreement({"a": three, "b": np.array([3.0, 5.0, 9.0, 1.0])})
    assert found.rows == 3 and found.rho == pytest.approx(1)
    (two,) = rank_agreement({"a": three, "b": np.array([3.0, 5.0, NAN, 1.0])})
    assert (two.rows, two.rho) == (2, None)
