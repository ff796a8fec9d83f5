"""Scores within bounds."""

import numpy as np

from pipeline.selection.picked import Picked, account_for, no_reasons
from pipeline.selection.ranking import rank_by_score
from scorers.arrays import Floats, Strings


def select_within(
    scores: Floats, ids: Strings, minimum: float | None = None, maximum: float | None = None
) -> Picked:
    """Pick the rows with minimum <= score <= maximum; a score equal to a bound is within.

    Args:
        scores: (n,) NaN where there is none; such rows are never picked: "no_score".
        ids: (n,) distinct example ids; the lower one comes first in a tie.
        minimum: The lowest score to pick; None for no bound. Lower ones are "below_threshold".
        maximum: The highest score to pick; None for no bound. Higher ones are "above_threshold".

    Returns:
        The picks, highest first; values are the scores.

    Raises:
        ValueError: if neither bound is given, the minimum is above the maximum, a bound is NaN, or
            a score is infinite.
    """
    low = -np.inf if minimum is None else minimum
    high = np.inf if maximum is None else maximum
    if (minimum is None and maximum is None) or not low <= high:
        raise ValueError(f"expected minimum <= maximum and one of them, got {minimum}, {maximum}")
    ranked = rank_by_score(scores, ids)
    reasons = no_reasons(len(scores))
    reasons[np.isnan(scores)] = "no_score"
    reasons[scores < low] = "below_threshold"
    reasons[scores > high] = "above_threshold"
    return account_for(ranked[reasons[ranked] == ""], reasons, scores)
