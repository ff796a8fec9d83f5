"""Targets of confidence: of other questions alone, and nearer to the truth than what they map."""

import numpy as np
import pytest

from pipeline.generation.confidence_targets import TargetMap, bin_of, target_confidences
from scorers.arrays import Floats


def test_bins_are_tenths_with_their_upper_border() -> None:
    drawn = np.array([0.0, 0.1, 0.100001, 0.1 + 0.2, 0.35, 0.9, 1.0])
    assert bin_of(drawn).tolist() == [0, 0, 1, 2, 3, 8, 9]


def test_a_bin_has_the_share_of_right_ones_in_other_folds() -> None:
    consistency = np.array([0.5, 0.5, 0.5, 0.9, 0.9, 0.2])
    right = np.array([True, False, True, True, True, False])
    found = target_confidences(consistency, right, np.array([0, 1, 2, 0, 1, 2]), "bins")
    # of the first: the second and third, one of which is right; nothing else is like the last
    np.testing.assert_allclose(found, [0.5, 1.0, 0.5, 1.0, 1.0, np.nan])


def asked(rows: int) -> tuple[Floats, np.ndarray, np.ndarray]:
    """A model that is too sure: of c it is right in c ** 2."""
    draw = np.random.default_rng(0)
    consistency = draw.integers(1, 11, rows) / 10
    return consistency, draw.random(rows) < consistency**2, draw.integers(0, 5, rows)


@pytest.mark.parametrize("by", ["bins", "isotonic"])
def test_a_question_does_not_move_its_own_target(by: TargetMap) -> None:
    consistency, right, folds = asked(200)
    before = target_confidences(consistency, right, folds, by)
    for row in range(0, 200, 20):
        other = right.copy()
        other[row] = not other[row]
        after = target_confidences(consistency, other, folds, by)
        np.testing.assert_array_equal(after[folds == folds[row]], before[folds == folds[row]])
        assert not np.array_equal(after, before), "others may move"


@pytest.mark.parametrize("by", ["bins", "isotonic"])
def test_targets_are_better_calibrated_than_the_consistency(by: TargetMap) -> None:
    consistency, right, folds = asked(3000)
    targets = target_confidences(consistency, right, folds, by)

    def error(stated: Floats) -> float:
        """ECE: the distance of what is stated from the share that is right, over tenths."""
        bins = bin_of(stated)
        gaps = [abs(stated[bins == b].mean() - right[bins == b].mean()) for b in np.unique(bins)]
        return float(np.average(gaps, weights=[(bins == b).sum() for b in np.unique(bins)]))

    assert error(targets) < 0.05 < 0.1 < error(consistency)


def test_isotonic_targets_never_fall_where_the_consistency_rises() -> None:
    consistency, right, folds = asked(60)
    targets = target_confidences(consistency, right, folds, "isotonic")
    for fold in range(5):
        mine = np.flatnonzero(folds == fold)
        ordered = targets[mine[np.argsort(consistency[mine], kind="stable")]]
        assert (np.diff(ordered) >= 0).all()


def test_one_fold_tells_nothing() -> None:
    alone = target_confidences(np.array([0.5]), np.array([True]), np.array([3]), "bins")
    assert np.isnan(alone).all()
    with pytest.raises(ValueError, match="length"):
        target_confidences(np.array([0.5]), np.array([True, False]), np.array([3]), "bins")
