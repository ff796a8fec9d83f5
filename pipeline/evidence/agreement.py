"""Whether the scores of a run say the same: rank correlations, and the rows they differ on most.

    rho_ab = correlation of the ranks of scores a and b over the rows that have both (Spearman 1904)

Two scores with rho near 1 are one score paid for twice. Two with rho below 0 want opposite things,
and a blend of them wants nothing. The rows that one score puts on top and another at the bottom are
those worth reading before either is trusted. Length is compared as if it were a score: a score that
goes with it chooses by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.ranking.blend import shares_below
from pipeline.ranking.order import mean_ranks, sort_rows
from scorers.arrays import Floats, Strings

LENGTH = "loss tokens"
"""What stands among the scores for the length of a row."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two scores order the rows that have both."""

    scores: tuple[str, str]
    rows: int
    rho: float | None
    """-1 to 1; None where fewer than three rows have both, or one score is the same for all."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row that one score puts high and another low."""

    example_id: str
    high: str
    """The score that puts it higher."""
    high_share: float
    """Of the other rows that it puts below."""
    low: str
    low_share: float


def rank_agreement(scores: Mapping[str, Floats]) -> list[Agreement]:
    """Compare every pair of scores, in the order of their names.

    Args:
        scores: name → (n,) values, NaN where there is none.
    """
    return [_agree(a, b, scores[a], scores[b]) for a, b in combinations(sorted(scores), 2)]


def _agree(a: str, b: str, left: Floats, right: Floats) -> Agreement:
    both = ~np.isnan(left) & ~np.isnan(right)
    x, y = left[both], right[both]
    unknown = len(x) < 3 or (x == x[0]).all() or (y == y[0]).all()  # two points are always a line
    # As scipy.stats.spearmanr, which takes longer to import than it saves.
    rho = None if unknown else float(np.corrcoef(mean_ranks(x), mean_ranks(y))[1, 0])
    return Agreement((a, b), len(x), rho)


def most_disputed(
    scores: Mapping[str, Floats], ids: Strings, count: int = 10
) -> Sequence[Disagreement]:
    """The rows on which two scores are furthest apart, by their shares of rows below.

    Args:
        scores: name → (n,) values, NaN where there is none.
        ids: (n,) distinct example ids; the lower one comes first in a tie.
        count: how many rows.

    Returns:
        At most `count` rows, the most disputed first; only rows with two scores or more that do
        not agree.
    """
    names = sorted(scores)
    if len(names) < 2 or not len(ids):
        return []
    shares = np.full((len(names), len(ids)), np.nan)
    for place, name in enumerate(names):
        scored = np.flatnonzero(~np.isnan(scores[name]))
        codes = np.zeros(len(scored), dtype=np.int64)  # one group: all rows are compared
        shares[place, scored] = shares_below(scores[name][scored], codes)
    rows = np.flatnonzero((~np.isnan(shares)).sum(axis=0) > 1)
    part = shares[:, rows]  # (scores, rows with two or more), so that no column is all NaN
    high, low = np.nanargmax(part, axis=0), np.nanargmin(part, axis=0)
    most, least = np.nanmax(part, axis=0), np.nanmin(part, axis=0)
    apart = most - least
    first = [i for i in sort_rows(-apart, ids[rows])[:count] if apart[i] > 0]
    return [
        Disagreement(
            *(str(ids[rows[i]]), names[high[i]], float(most[i])),
            *(names[low[i]], float(least[i])),
        )
        for i in first
    ]
