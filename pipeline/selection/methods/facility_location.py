"""Facility location: the rows that together lie nearest to all rows.

    f(S) = sum over i of w_i * max over j in S of s_ij,    s_ij = 1 - d_ij

d_ij is the distance of rows i and j, from 0 for the same direction to 1 for opposite ones: half of
1 - cosine, or half of the Euclidean distance of the unit vectors. w_i is 1, or with a score the
place of row i when the pool is sorted by it. A row is picked if it adds most to f, and f has
diminishing returns, so the picks reach at least 1 - 1/e of the best f that as many rows can have
(Nemhauser, Wolsey and Fisher 1978, doi:10.1007/BF01588971). What a row would add can only fall as
others are picked; so old values are bounds, and only the row with the highest bound is looked at
again (Minoux 1978, doi:10.1007/BFb0006528). The picks are exactly those of the plain loop:
similarities are whole numbers of 2^-20, whose sums have no rounding.

For a small set that stands for a large pool, such as the last step of Superfiltering
(arXiv:2402.00530): its Euclidean version gives the picks of a facility location over max(d) - d,
for a constant in all similarities changes no pick. Not for a set in which every kind of row must be
seen: it represents what is common and passes over what is rare. `k_centre` does that, and where the
best rows must come first, `diverse`. Without a score it does not look at quality at all. Coverage
of embeddings has not been shown to beat random rows in general: compare with the controls.

Cost: n^2 * d multiplications and 4 n^2 bytes, 1.6 GB for 20 000 rows; then mostly a few rows of
similarities for each pick. From a larger pool a seeded sample is drawn, which is all that can be
picked and all that is covered.
"""

import heapq
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.budget import Budget
from pipeline.ranking.greedy_diverse import unit_vectors
from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, account_for, no_causes, no_reasons
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.random import random_keys
from pipeline.selection.step import ComparedText, Ranked, RankStep, by_id, rank_values
from scorers.arrays import Floats, Ints, Strings, require_same_length

SCALE = 1 << 20
"""The similarity of a row with itself, in the whole numbers that similarities are kept in."""

BLOCK_ROWS = 1024

Distance = Literal["cosine", "euclidean"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How rows are compared, and how many at most."""

    distance: Distance = "cosine"
    most_rows: int = 20_000
    """From more, as many are drawn."""
    seed: int = 0
    """Of the draw."""


@dataclass(frozen=True, slots=True)
class Facilities:
    """Picks among m rows, and which of them covers each row."""

    picks: Ints
    """(k,) in the order picked."""
    gains: Ints
    """(k,) what each added to f, in units of 1 / SCALE."""
    nearest: Ints
    """(m,) the pick most similar to each row, the first one in a tie; -1 without picks."""
    similarity: NDArray[np.int32]
    """(m,) to that pick, in units of 1 / SCALE."""


def similarity_table(
    vectors: NDArray[np.float32], distance: Distance = "cosine", block_rows: int = BLOCK_ROWS
) -> NDArray[np.int32]:
    """Similarities (m, m) of vectors (m, d) of length 1, in units of 1 / SCALE."""
    units = vectors.astype(np.float64)  # in float32 a row would not be quite like itself
    units /= np.sqrt(np.einsum("nd,nd->n", units, units))[:, None]
    table = np.empty((len(units), len(units)), dtype=np.int32)
    for start in range(0, len(units), block_rows):
        part = slice(start, start + block_rows)
        # (block, m) half of 1 - cosine; its root is half of the distance, since of unit vectors
        # |a - b|² = 2 (1 - cosine).
        apart = (1 - np.clip(units[part] @ units.T, -1, 1)) / 2
        similarity = 1 - (np.sqrt(apart) if distance == "euclidean" else apart)
        table[part] = np.rint(similarity * SCALE)
    return table


def lazy_greedy(table: NDArray[np.int32], weights: Ints, costs: Ints, limit: int) -> Facilities:
    """Pick the row that adds most, again and again; the first one in a tie.

    Args:
        table: (m, m) similarities, row j those to j, in whole numbers and none below 0.
        weights: (m,) of the rows that are covered, 1 or more.
        costs: (m,) what picking a row costs.
        limit: What may be spent; it ends before the first pick that does not fit.

    Returns:
        The picks.
    """
    m = len(table)
    best, nearest = np.zeros(m, dtype=np.int32), no_causes(m)
    picks: list[int] = []
    gains: list[int] = []
    # A heap has its least entry on top, so gains are negated. Sums are int64: m weights of up to 2m
    # each, times 2^20, do not fit int32.
    bounds = [(-int(table[row].astype(np.int64) @ weights), row) for row in range(m)]
    heapq.heapify(bounds)
    looked_at = np.zeros(m, dtype=np.int64)  # picks there were when a row's bound was computed
    covered = 0
    while bounds and limit > 0:
        bound, row = heapq.heappop(bounds)
        if looked_at[row] < len(picks):
            with_it = int(np.maximum(table[row], best).astype(np.int64) @ weights)
            looked_at[row] = len(picks)
            heapq.heappush(bounds, (covered - with_it, row))  # minus what it would add now
            continue
        if costs[row] > limit:
            break
        nearer = (table[row] > best) | (nearest < 0)  # the first pick covers also at similarity 0
        nearest[nearer], best[nearer] = row, table[row][nearer]
        limit -= int(costs[row])
        covered -= bound  # f of the picks
        picks.append(row)
        gains.append(-bound)
    return Facilities(np.array(picks, np.int64), np.array(gains, np.int64), nearest, best)


def rank_weights(scores: Floats) -> Ints:
    """(m,) twice the place of each row when they are sorted by score; ties share the middle."""
    from scipy.stats import rankdata

    weights: Ints = (2 * rankdata(scores) - 1).astype(np.int64)
    return weights


def select_facility_location(
    vectors: NDArray[np.float32],
    ids: Strings,
    budget: Budget,
    loss_tokens: Ints | None = None,
    scores: Floats | None = None,
    coverage: Coverage | None = None,
) -> Outcome:
    """Pick the rows that cover the others best.

    Args:
        vectors: (n, d) embeddings of length 1; a row with a NaN is out as "no_embedding".
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit; a row that is not picked is "covered", or "over_budget" where the limit
            has no room for a single pick.
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        scores: (n,) a row with a higher one counts more when it is covered, by its place in the
            order of the scores; a row without one (NaN) is out as "no_score". None: all count 1.
        coverage: How rows are compared. Rows beyond `most_rows` are out as "not_drawn".

    Returns:
        The picks in the order picked. Of a covered row `because_of` is the pick nearest to it and
        the value their similarity, from 0 to 1; of a pick it is the share of the highest possible
        f that it added.

    Raises:
        ValueError: if lengths differ, a vector is not of length 1, or a score is infinite.
    """
    coverage = coverage or Coverage()
    require_same_length(vectors=vectors, ids=ids)
    n = len(ids)
    reasons, value, because_of = no_reasons(n), np.full(n, np.nan), no_causes(n)
    reasons[np.isnan(vectors).any(axis=1)] = "no_embedding"
    if scores is not None:
        require_same_length(vectors=vectors, scores=scores)
        if np.isinf(scores).any():
            raise ValueError("scores are infinite: a scorer must give NaN instead")
        reasons[np.isnan(scores)] = "no_score"
    rows = np.flatnonzero(reasons == "")
    keys = random_keys(ids[rows], coverage.seed, "facilities")
    drawn = sort_rows(keys, ids[rows])[: coverage.most_rows]
    reasons[rows] = "not_drawn"  # for now; those that were drawn get another reason, or none
    rows = by_id(rows[drawn], ids)  # (m,) so that the first row in a tie is that of the lower id
    costs, limit = budget.costs(n, loss_tokens)
    weights = np.ones(len(rows), np.int64) if scores is None else rank_weights(scores[rows])
    table = similarity_table(unit_vectors(vectors[rows]), coverage.distance)
    found = lazy_greedy(table, weights, costs[rows], limit)
    if len(found.picks):
        because_of[rows], value[rows] = rows[found.nearest], found.similarity / SCALE
    reasons[rows] = "covered" if len(found.picks) else "over_budget"
    picks = rows[found.picks]
    reasons[picks], because_of[picks] = "", -1
    value[picks] = found.gains / (SCALE * max(1, int(weights.sum())))  # every row at similarity 1
    return account_for(picks, reasons, value, because_of)


class FacilityLocation(RankStep):
    """The rows that together lie nearest to all rows; lazy greedy, exact."""

    method: Literal["facility_location"]
    score: Ranked | None = Field(
        default=None,
        description="Rows with a higher score count more when they are covered, by rank; without "
        "one all count alike.",
    )
    distance: Distance = Field(
        default="cosine", description="euclidean: as the published Superfiltering compares."
    )
    text: ComparedText = "both"
    most_rows: int = Field(
        default=20_000,
        gt=0,
        description="From more rows a seeded sample of so many is drawn, to pick from and to "
        "cover. Memory: 4 bytes times its square.",
    )

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Cover the rows."""
        embeddings = vectors(self.text, rows).astype(np.float32)
        scores = None if self.score is None else rank_values(rows, self.score)
        coverage = Coverage(self.distance, self.most_rows, seed)
        budget = self.budget.budget()
        return select_facility_location(
            embeddings, rows.ids, budget, rows.loss_tokens, scores, coverage
        )
