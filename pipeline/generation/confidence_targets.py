r"""Confidences that a model should state: how often it is right where it agrees with itself so.

    target_i = mean of right_j over j with bin(c_j) = bin(c_i), fold(j) != fold(i)        bins
    target_i = f(c_i),  f the rising step function nearest to (c_j, right_j), fold(j) != fold(i)
                                                                                          isotonic

c is the consistency in [0, 1], bin(c) the tenth of it that c lies in, (0, 0.1] being the first. A
target is read off other questions alone: with its own, it would say what no consistency can, and
teach to know the answer. Where no other fold has a question in the bin, bins have no target.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats, Ints, require_same_length

BINS = 10

TargetMap = Literal["bins", "isotonic"]


def bin_of(consistency: Floats) -> Ints:
    """(n,) the tenth that each consistency lies in, from 0; (k / 10, (k + 1) / 10] is k."""
    # 0.3 is 0.30000000000000004 in some sums: what is that near to a border belongs below it.
    tenths = np.ceil(np.round(consistency * BINS, 6)).astype(np.int64) - 1
    return np.clip(tenths, 0, BINS - 1)


def target_confidences(
    consistency: Floats, right: NDArray[np.bool_], folds: Ints, by: TargetMap
) -> Floats:
    """The confidence that each question's row should state.

    Args:
        consistency: (n,) share of samples that are the most frequent answer, in [0, 1].
        right: (n,) whether that answer is the given one.
        folds: (n,) which questions are left out together.
        by: how consistency becomes confidence.

    Returns:
        (n,) in [0, 1]; NaN where no other fold tells.
    """
    require_same_length(consistency=consistency, right=right, folds=folds)
    targets = np.full(len(consistency), np.nan)
    for fold in np.unique(folds):
        mine = folds == fold
        if mine.all():
            continue
        told = (consistency[~mine], right[~mine].astype(np.float64))
        read = _by_bins if by == "bins" else _by_isotonic
        targets[mine] = read(*told, consistency[mine])
    return targets


def _by_bins(consistency: Floats, right: Floats, wanted: Floats) -> Floats:
    bins = bin_of(consistency)
    rows = np.bincount(bins, minlength=BINS)
    hits = np.bincount(bins, weights=right, minlength=BINS)
    shares = np.divide(hits, rows, out=np.full(BINS, np.nan), where=rows > 0)
    found: Floats = shares[bin_of(wanted)]
    return found


def _by_isotonic(consistency: Floats, right: Floats, wanted: Floats) -> Floats:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(consistency, right)
    found: Floats = fitted.predict(wanted)
    return found
