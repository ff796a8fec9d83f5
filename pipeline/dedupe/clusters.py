"""The greedy rule: the best copy stays, and a row goes only because of one that stayed."""

from typing import Protocol

import numpy as np

from pipeline.ranking.order import rank_by_score, sort_rows
from pipeline.ranking.outcome import Outcome, Reason, account_for, no_causes, no_reasons
from scorers.arrays import Floats, Ints, Strings


class KeptNeighbours(Protocol):
    """A search among the rows kept so far.

    It knows kept rows only: then a template that a thousand rows share costs a thousand comparisons
    with the one that is kept, not half a million among themselves.
    """

    def closest(self, row: int) -> tuple[int, float] | None:
        """The most similar of the kept rows within the threshold, and the similarity."""
        ...

    def keep(self, row: int) -> None:
        """Add a row to those kept."""
        ...


def keep_order(keep_scores: Floats, ids: Strings) -> Ints:
    """Order rows by who stays first: highest keep score, then lowest id; NaN comes last.

    Args:
        keep_scores: (n,) NaN where there is none.
        ids: (n,) distinct example ids.

    Returns:
        (n,) rows.

    Raises:
        ValueError: if the lengths differ, or a keep score is infinite.
    """
    ranked = rank_by_score(keep_scores, ids)
    rest = np.flatnonzero(np.isnan(keep_scores))
    by_id = sort_rows(np.zeros(len(rest)), ids[rest])  # with one key for all, ids decide
    return np.concatenate((ranked, rest[by_id]))


def remove_duplicates(
    neighbours: KeptNeighbours,
    keep_scores: Floats,
    ids: Strings,
    reason: Reason = "near_duplicate",
) -> Outcome:
    """Keep every row that has no neighbour among the rows kept before it.

    Args:
        neighbours: An empty search.
        keep_scores: (n,) of two copies the higher one stays; NaN counts as lowest.
        ids: (n,) distinct example ids; the lower one wins a tie.
        reason: What is said of a row that goes.

    Returns:
        The rows kept, in keep order. The others go because of `because_of`, the most similar of the
        rows kept before, and the value is the similarity.

    Raises:
        ValueError: if the lengths differ, or a keep score is infinite.
    """
    n = len(keep_scores)
    reasons, because_of, value = no_reasons(n), no_causes(n), np.full(n, np.nan)
    kept = []
    for row in keep_order(keep_scores, ids).tolist():
        found = neighbours.closest(row)
        if found is None:
            neighbours.keep(row)
            kept.append(row)
        else:
            reasons[row] = reason
            because_of[row], value[row] = found
    return account_for(np.array(kept, dtype=np.int64), reasons, value, because_of)
