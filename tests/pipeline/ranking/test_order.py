import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from pipeline.ranking.order import (
    group_codes,
    mean_ranks,
    rank_by_score,
    sort_rows,
    turn_in_group,
)

keyed = st.dictionaries(st.text("abc", max_size=4), st.sampled_from([-1.0, -0.0, 0.0, 2.5]))


@given(keyed)
def test_sorts_by_key_then_id(rows: dict[str, float]) -> None:
    ids, keys = np.array(list(rows), dtype=object), np.array(list(rows.values()))
    order = sort_rows(keys, ids)
    expected = sorted(rows, key=lambda i: (rows[i], i))
    assert list(ids[order]) == expected


def test_ranks_the_highest_first_and_leaves_out_what_has_no_score() -> None:
    scores = np.array([0.5, np.nan, 2.0, 0.5])
    np.testing.assert_array_equal(rank_by_score(scores, np.array(["d", "c", "b", "a"])), [2, 3, 0])


@given(st.lists(st.sampled_from([-2.5, -0.0, 0.0, 1.0, 3.0])))
def test_ranks_are_scipys(values: list[float]) -> None:
    np.testing.assert_array_equal(mean_ranks(np.array(values, dtype=float)), rankdata(values))


def test_minus_zero_ties_with_zero() -> None:
    np.testing.assert_array_equal(
        rank_by_score(np.array([-0.0, 0.0]), np.array(["a", "b"])), [0, 1]
    )


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_score_is_an_error(infinite: float) -> None:
    with pytest.raises(ValueError, match="1 scores are infinite"):
        rank_by_score(np.array([1.0, infinite]), np.array(["a", "b"]))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="one length"):
        rank_by_score(np.ones(2), np.array(["a"]))


def test_groups_are_numbered_by_name() -> None:
    np.testing.assert_array_equal(group_codes(np.array(["b", "a", "b"], dtype=object)), [1, 0, 1])


def test_turns_count_within_the_group_along_the_order() -> None:
    # Order 4 0 3 1 2, groups 1 0 1 0 0: the first of group 1 is row 4, then row 3 is its second.
    groups = np.array([0, 0, 0, 1, 1])
    np.testing.assert_array_equal(turn_in_group(np.array([4, 0, 3, 1, 2]), groups), [0, 0, 1, 1, 2])
    assert len(turn_in_group(np.array([], dtype=int), groups)) == 0
