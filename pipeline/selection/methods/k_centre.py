"""k-centre: rows such that no row is far from all of them.

    r(S) = max over i of min over j in S of d_ij

d_ij is the Euclidean distance of the unit vectors of rows i and j. The first pick is the row
nearest to the mean of all; each next one is the row farthest from every pick so far. The radius r
of k picks is at most twice the smallest that any k rows can have (Gonzalez 1985,
doi:10.1016/0304-3975(85)90224-5). In machine learning it is known as the core-set choice of Sener
and Savarese 2018, arXiv:1708.00489.

For a set in which every kind of row is seen, the rare ones first. Not for a pool that nobody has
filtered: outliers, rows in another language and broken ones are what lies farthest out.
It does not look at quality. `facility_location` represents what is common instead. Coverage of
embeddings has not been shown to beat random rows in general: compare with the controls.

Cost: n * k * d multiplications and 4 n * d bytes; there is no table of all pairs, and no limit.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.budget import Budget
from pipeline.ranking.greedy_diverse import cosine, unit_vectors
from pipeline.ranking.outcome import Outcome, account_for, no_causes
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.step import ComparedText, RankStep, by_id
from scorers.arrays import Floats, Ints, Strings, require_same_length


def central_row(units: NDArray[np.float32]) -> int:
    """The row of units (m, d) most similar to their mean, to 6 decimals; the first one in a tie."""
    mean = units.mean(axis=0, dtype=np.float64)
    return int(np.argmax(np.einsum("nd,d->n", units.astype(np.float64), mean).round(6)))


class FarthestPicks(NamedTuple):
    """k picks of m rows."""

    picks: Ints  # (k,) in the order picked
    nearest: Ints
    """(m,) the pick nearest to each row, the first one in a tie; of a pick the nearest of those
    before it, -1 for the first."""
    similarity: Floats  # (m,) cosine of the two; NaN for the first pick


def farthest_first(units: NDArray[np.float32], costs: Ints, limit: int) -> FarthestPicks:
    """Pick the row farthest from all picks, again and again; the first one in a tie.

    A float32 product says which rows a new pick may be nearer to; they are compared in float64.

    Args:
        units: (m, d) vectors of length 1.
        costs: (m,) what picking a row costs.
        limit: What may be spent; it ends before the first pick that does not fit.
    """
    m, d = units.shape
    margin = d * 2.0**-23 + 1e-6  # what a sum of d float32 products may be off by, and a little
    nearest, similarity = no_causes(m), np.full(m, -np.inf)  # -inf: any first pick is nearer
    free = np.ones(m, dtype=bool)
    picks: list[int] = []
    row = central_row(units) if m else -1
    while free.any() and limit > 0 and costs[row] <= limit:
        limit -= int(costs[row])
        picks.append(row)
        free[row] = False
        near = np.flatnonzero(free & (units @ units[row] > similarity - margin))
        exact = cosine(units, near, np.full(len(near), row))
        nearer = exact > similarity[near]
        nearest[near[nearer]], similarity[near[nearer]] = row, exact[nearer]
        row = int(np.argmin(np.where(free, similarity, np.inf)))  # farthest: least similar, free
    similarity = np.where(nearest < 0, np.nan, similarity)
    return FarthestPicks(np.array(picks, np.int64), nearest, similarity)


def select_k_centre(
    vectors: NDArray[np.float32], ids: Strings, budget: Budget, loss_tokens: Ints | None = None
) -> Outcome:
    """Pick rows so that every row has a pick near it.

    Args:
        vectors: (n, d) embeddings of length 1; a row with a NaN is out as "no_embedding".
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit; a row that is not picked is "covered", or "over_budget" where the limit
            has no room for a single pick.
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.

    Returns:
        The picks in the order picked. Of a covered row `because_of` is the pick nearest to it.
        Values are cosine similarities to that pick; of a pick, to the nearest one before it.

    Raises:
        ValueError: if lengths differ, or a vector is not of length 1.
    """
    require_same_length(vectors=vectors, ids=ids)
    n = len(ids)
    rows = by_id(np.flatnonzero(~np.isnan(vectors).any(axis=1)), ids)  # (m,) ties go by id
    costs, limit = budget.costs(n, loss_tokens)
    picks, nearest, similarity = farthest_first(unit_vectors(vectors[rows]), costs[rows], limit)
    value, because_of = np.full(n, np.nan), no_causes(n)
    reasons = np.full(n, "no_embedding", dtype=object)
    reasons[rows] = "covered" if len(picks) else "over_budget"
    value[rows] = similarity
    # Places among the m become rows of the n; -1 stays. No place can be looked up among no rows.
    because_of[rows] = np.where(nearest < 0, -1, rows[nearest]) if len(rows) else nearest
    reasons[rows[picks]], because_of[rows[picks]] = "", -1
    return account_for(rows[picks], reasons, value, because_of)


class KCentre(RankStep):
    """Rows such that no row is far from all of them; farthest first."""

    method: Literal["k_centre"]
    text: ComparedText = "both"

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Go to the farthest row."""
        embeddings = vectors(self.text, rows).astype(np.float32)
        return select_k_centre(embeddings, rows.ids, self.budget.budget(), rows.loss_tokens)
