"""Several scores as one ranking: weighted means of ranks, not of numbers.

    b_i = sum over k of |w_k| p_ki / sum over k of |w_k|

p_ki is the share of the other rows that score k puts below row i, from 0 to 1, ties sharing their
mean; for a negative weight the share above. Losses, ratios and marks have no common unit, and a
mean of their values is ruled by whichever spreads most; ranks have one. Higher is kept first. A row
that lacks one of the scores has no blend, for any number in its place would be made up. With groups
a row is ranked within its own: a source whose losses are all high is then not dropped whole.

For scores of which each tells a part of what is wanted, so that none shall decide alone. Do not
blend scores that want opposite things of the same rows: GRAPE prefers answers the model
finds likely, IFD those the prompt does not give away, DEITA found high perplexity harmful (Liu et
al. 2023, arXiv:2312.15685). Filter by one and rank by another instead. Borda 1781 is the origin of
ranking by mean ranks. Cost: a sort for each score.
"""

import numpy as np

from pipeline.ranking.order import group_codes, mean_ranks
from scorers.arrays import Floats, Ints, Strings


def shares_below(scores: Floats, groups: Ints) -> Floats:
    """Share of the other rows of its group that each row scores above, ties counted by half.

    Args:
        scores: (n,) none of them NaN.
        groups: (n,) codes.

    Returns:
        (n,) from 0 to 1; 0.5 for a row alone in its group.
    """
    # Of two groups all rows of the first come first, so that one ranking ranks each group.
    places = groups * (len(scores) + 1) + np.unique(scores, return_inverse=True)[1]
    sizes = np.bincount(groups)
    # Ranks begin at 1; the cumulated sizes are the rows of the groups before.
    below = mean_ranks(places) - 1 - (np.cumsum(sizes) - sizes)[groups]
    others = sizes[groups] - 1
    return np.where(others > 0, below / np.maximum(others, 1), 0.5)


def blend_ranks(scores: Floats, weights: Floats, groups: Strings | None = None) -> Floats:
    """Blend scores by rank.

    Args:
        scores: (k, n) NaN where there is none.
        weights: (k,) none of them 0; a negative one prefers low scores.
        groups: (n,) names; rows are ranked within their group. None for one group.

    Returns:
        (n,) from 0 to 1, higher first; NaN for a row that lacks a score.

    Raises:
        ValueError: if lengths differ, or a weight is 0 or not finite.
    """
    k, n = scores.shape
    if len(weights) != k or (groups is not None and len(groups) != n):
        raise ValueError(f"{k} scores of {n} rows, but {len(weights)} weights")
    if not np.isfinite(weights).all() or not weights.all():
        raise ValueError(f"weights must be finite and not 0, got {weights.tolist()}")
    whole = np.flatnonzero(~np.isnan(scores).any(axis=0))
    codes = np.zeros(len(whole), dtype=np.int64) if groups is None else group_codes(groups[whole])
    blend = np.full(n, np.nan)
    signs, shares = np.sign(weights), np.abs(weights) / np.abs(weights).sum()
    # One score after the other: a matrix product rounds by a row's place, and breaks ties.
    blended = np.zeros(len(whole))
    for sign, share, row in zip(signs, shares, scores, strict=True):
        blended += share * shares_below(sign * row[whole], codes)
    blend[whole] = blended
    return blend
