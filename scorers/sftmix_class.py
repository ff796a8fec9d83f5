"""SFTMix classes: the confident half of the rows, and the unconfident one.

    class_i = 1[ place of i by descending (Conf_i, id) < ceil(n / 2) ]

Conf is `sftmix_confidence`, n the rows that have one: 1 is confident, 0 is not. The halves are
disjoint, hold every scored row, and differ by at most one row; rows of equal confidence go by their
example_id, the lower one first.

The value is a label, not a rank: "Higher is kept first" does not hold for it. For a trainer that
mixes pairs of a row from each half, as SFTMix does, or for a step `s2l` that draws equally from
both. Not for choosing a half: confidence is not quality, and neither is the one to train on. A
sort; the cost is in the trajectories.

SFTMix, 2024, arXiv:2410.05248.
"""

import numpy as np

from scorers.arrays import Floats, Strings, require_same_length
from scorers.sftmix_confidence import score_sftmix_confidence


def score_sftmix_class(
    trajectory: Floats, example_id: Strings, *, log_mean: bool = False
) -> Floats:
    """Label each example with its half.

    Args:
        trajectory: (n, c) nats per token at each recorded step.
        example_id: (n,) distinct; they decide between rows of equal confidence.
        log_mean: As in `sftmix_confidence`.

    Returns:
        (n,) labels 1 (confident) and 0 as floats. NaN where a loss is missing.

    Raises:
        ValueError: if lengths differ, or a loss is negative or above 700.
    """
    require_same_length(trajectory=trajectory, example_id=example_id)
    confidence = score_sftmix_confidence(trajectory, log_mean=log_mean)
    scored = np.flatnonzero(~np.isnan(confidence))
    names = np.asarray(example_id, dtype=np.str_)[scored]
    order = scored[np.lexsort((names, -confidence[scored]))]  # by its last key first
    labels = np.full(len(trajectory), np.nan)
    labels[order] = np.arange(len(order)) < (len(order) + 1) // 2  # + 1: the half is rounded up
    return labels
