"""Blends: by rank, each weight seen, no number made up for a row that lacks a score."""

import numpy as np
import pytest

from pipeline.ranking.blend import blend_ranks, shares_below
from pipeline.selection.step import Blend


def test_a_share_is_that_of_the_other_rows_below_and_ties_share_their_mean() -> None:
    shares = shares_below(np.array([10.0, 30.0, 20.0, 20.0, 1e9]), np.zeros(5, dtype=np.int64))
    np.testing.assert_allclose(shares, [0, 0.75, 0.375, 0.375, 1])


def test_weights_decide_and_only_their_proportions() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    np.testing.assert_allclose(blend_ranks(scores, np.array([3.0, 1.0])), [0.25, 0.375, 0.875])
    np.testing.assert_allclose(
        blend_ranks(scores, np.array([6.0, 2.0])), blend_ranks(scores, np.array([3.0, 1.0]))
    )


def test_the_scale_of_a_score_makes_no_difference() -> None:
    scores = np.random.default_rng(0).standard_normal((2, 50))
    stretched = np.stack([np.exp(3 * scores[0]), scores[1] * 1e6])
    weights = np.array([1.0, 2.0])
    np.testing.assert_allclose(blend_ranks(scores, weights), blend_ranks(stretched, weights))


def test_a_negative_weight_prefers_low_scores() -> None:
    scores = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(blend_ranks(scores, np.array([-1.0])), [1, 0.5, 0])


def test_a_row_that_lacks_a_score_has_no_blend_and_takes_no_rank_from_others() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]])
    np.testing.assert_allclose(blend_ranks(scores, np.array([1.0, 1.0])), [0, np.nan, 1])


def test_within_groups_each_source_has_its_own_best() -> None:
    scores = np.array([[1.0, 2.0, 100.0, 200.0, 7.0]])
    groups = np.array(["a", "a", "b", "b", "c"], dtype=object)
    np.testing.assert_allclose(blend_ranks(scores, np.array([1.0]), groups), [0, 1, 0, 1, 0.5])


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not 0"):
        blend_ranks(np.zeros((1, 3)), np.array([0.0]))
    with pytest.raises(ValueError, match="says nothing: leave ifd out"):
        Blend(weights={"ifd": 0.0, "grape": 1.0})


def test_no_rows_have_no_blend() -> None:
    assert blend_ranks(np.empty((2, 0)), np.array([1.0, 1.0])).shape == (0,)


def test_equal_rows_have_equal_blends_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    for n in range(3, 60):
        scores = rng.integers(0, 3, (3, n)).astype(float)
        weights, order = rng.standard_normal(3), rng.permutation(n)
        blend = blend_ranks(scores, weights)
        np.testing.assert_array_equal(blend_ranks(scores[:, order], weights), blend[order])
        kinds = np.unique(scores, axis=1, return_inverse=True)[1]
        assert all(len(set(blend[kinds == kind])) == 1 for kind in set(kinds.tolist()))
