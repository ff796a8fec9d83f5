"""Walk rows in order of preference and keep those that are not too near one already kept.

The result is exactly that of the plain loop, one row at a time against all kept rows, whatever the
block size or the number of threads. A search among the kept rows (searches.py) is asked a block at
a time, in float32; what that leaves in doubt, within its rounding error, is decided in float64.
Only kept rows are compared with: a template that many rows share never becomes a quadratic number
of pairs.

Greedy filter: Liu et al. 2023 (DEITA), arXiv:2312.15685. Their paper writes "distance", their code
bounds the cosine similarity: so does this.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.budget import count_fitting
from pipeline.ranking.outcome import no_causes
from pipeline.ranking.searches import (
    SAMPLE_ROWS,
    FlatSearch,
    NeighbourSearch,
    Screen,
    choose_screen,
    one_blas_thread,
)
from scorers.arrays import Floats, Ints

DECIMALS = 6  # of a similarity: what float32 vectors carry, so that equal vectors have exactly 1
BLOCK_ROWS = 512  # rows that are filtered together; the result does not depend on it
PAIRS_AT_ONCE = 1 << 15  # whose vectors are in memory as float64


@dataclass(frozen=True, slots=True)
class DiverseRows:
    """Which rows were kept, and what ruled out the others."""

    kept: Ints  # (k,) rows in the order kept
    # (n,) the kept row most similar to a row that is ruled out, the preferred one in a tie; -1 for
    # kept rows and those not reached.
    because_of: Ints
    similarity: Floats  # (n,) to `because_of`; NaN where there is none


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Check that vectors (n, d) have length 1, up to 0.001, and give them to the last digit.

    Raises:
        ValueError: if not; a vector of zeros or NaN would be similar to nothing.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    wrong = lengths[~(np.abs(lengths - 1) <= 1e-3)]  # not ">": NaN is wrong too
    if wrong.size:
        raise ValueError(f"embeddings must have length 1, got {wrong.size} of length {wrong[0]:g}")
    units: NDArray[np.float32] = vectors / lengths[:, None]
    return units


def cosine(vectors: NDArray[np.float32], left: Ints, right: Ints) -> Floats:
    """Cosine similarity of rows left (p,) and right (p,) of vectors (n, d); (p,), in float64."""
    return cosine_between(vectors, left, vectors, right)


def cosine_between(
    left: NDArray[np.floating], i: Ints, right: NDArray[np.floating], j: Ints
) -> Floats:
    """Cosine similarity of rows i (p,) of left and rows j (p,) of right; (p,), in float64."""
    similarity = np.empty(len(i))
    for start in range(0, len(i), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        a, b = left[i[part]].astype(np.float64), right[j[part]].astype(np.float64)
        squares = np.einsum("pd,pd->p", a, a) * np.einsum("pd,pd->p", b, b)
        similarity[part] = np.einsum("pd,pd->p", a, b) / np.sqrt(squares)
    rounded: Floats = np.clip(similarity, -1, 1).round(DECIMALS)  # 1 + 2e-16 is no cosine
    return rounded


def margin_of(d: int) -> float:
    """How far a float32 product of unit vectors (d,) may be from the similarity."""
    return d * 2.0**-23 + 1e-6  # twice what sums in float32 (d * 2^-24) and DECIMALS (5e-7) add


def screen_rows(vectors: NDArray[np.float32], order: Ints, bound: float) -> Screen:
    """The screen that suits rows (m,) of vectors (n, d), all of length 1, and the bound."""
    sample = order[:: max(1, len(order) // SAMPLE_ROWS)][:SAMPLE_ROWS]
    units = unit_vectors(vectors[sample])
    return choose_screen(units, len(order), bound - margin_of(vectors.shape[1]))


class KeptRows:
    """The rows kept so far, and the search among them."""

    def __init__(self, vectors: NDArray[np.float32], bound: float, search: NeighbourSearch) -> None:
        self.vectors = vectors
        self.bound = bound
        self.margin = margin_of(vectors.shape[1])
        self._search = search
        self._parts: list[Ints] = []

    @property
    def rows(self) -> Ints:
        """All of them, in the order kept."""
        # The parts become one: the next call joins two arrays, and not one for each block.
        self._parts = [np.concatenate([np.empty(0, dtype=np.int64), *self._parts])]
        return self._parts[0]

    def keep(self, rows: Ints, units: NDArray[np.float32]) -> None:
        """Add rows (b,) and their vectors (b, d)."""
        self._parts.append(rows)
        self._search.keep(rows, units)

    def nearest(self, rows: Ints, units: NDArray[np.float32]) -> tuple[Ints, Floats]:
        """The kept row too near to each of rows (b,), -1 where none is, and its similarity."""
        kept = self.rows
        if self.bound >= 1 or not len(kept):
            return no_causes(len(rows)), np.full(len(rows), np.nan)
        found = self._search.near(rows, units, self.bound - self.margin)
        return self._decide(rows, found.asked, kept[found.place], (found.product, found.place))

    def closest(
        self, rows: Ints, others: Ints, products: NDArray[np.float32]
    ) -> tuple[Ints, Floats]:
        """Of others (c,), in order of preference, the one too near to each of rows (b,).

        products (b, c) are their float32 similarities, -inf for a pair that is not to be compared.
        """
        if self.bound >= 1:  # nothing is above it, and all copies would be in doubt
            return no_causes(len(rows)), np.full(len(rows), np.nan)
        i, j = np.nonzero(products > self.bound - self.margin)
        return self._decide(rows, i, others[j], (products[i, j], j))

    def _decide(
        self, rows: Ints, i: Ints, others: Ints, doubtful: tuple[NDArray[np.float32], Ints]
    ) -> tuple[Ints, Floats]:
        """Settle pairs (p,) of row rows[i] and others in float64: the nearest, or the preferred.

        `doubtful` is each pair's float32 product, and the other's place in the order of preference.
        The exact maximum is among those within twice the margin of a row's largest product.
        """
        products, preference = doubtful
        largest = np.full(len(rows), -np.inf, dtype=np.float32)
        np.maximum.at(largest, i, products)
        near = products >= largest[i] - 2 * self.margin
        i, others, preference = i[near], others[near], preference[near]
        exact = cosine(self.vectors, rows[i], others)
        order = np.lexsort((preference, -exact, i))  # the last key counts first
        order = order[np.unique(i[order], return_index=True)[1]]  # the first pair of each row
        order = order[exact[order] > self.bound]
        because_of, similarity = no_causes(len(rows)), np.full(len(rows), np.nan)
        because_of[i[order]], similarity[i[order]] = others[order], exact[order]
        return because_of, similarity


def _keep_nearer(
    because_of: Ints, similarity: Floats, other_because_of: Ints, other_similarity: Floats
) -> None:
    """Write the second pair of columns over the first where it is nearer, or the first has none."""
    nearer = (other_because_of >= 0) & ~(similarity >= other_similarity)  # NaN: the first has none
    because_of[nearer] = other_because_of[nearer]
    similarity[nearer] = other_similarity[nearer]


class _FilteredBlock(NamedTuple):
    """What became of a block of b rows."""

    winners: Ints  # (k,) places in the block that may be kept
    because_of: Ints  # (b,)
    similarity: Floats  # (b,)


def _filter_block(kept: KeptRows, rows: Ints, units: NDArray[np.float32]) -> _FilteredBlock:
    """Filter rows (b,) against the kept ones and, one after another, among themselves."""
    because_of, similarity = kept.nearest(rows, units)
    free = np.flatnonzero(because_of < 0)  # (f,) near to no row of an earlier block
    products = units @ units[free].T  # (b, f)
    products[np.arange(len(rows))[:, None] <= free] = -np.inf  # compare to earlier rows only
    doubtful = np.asarray(products[free] > kept.bound - kept.margin, dtype=bool)  # (f, f)
    winners = ~np.asarray(doubtful.any(axis=1), dtype=bool)  # (f,) so far: near to none at all
    # In order: whether an earlier row is kept must be known before a later one is compared to it.
    for place in np.flatnonzero(~winners):
        row, earlier = free[place], np.flatnonzero(winners[:place])
        near = kept.closest(rows[[row]], rows[free[earlier]], products[[row]][:, earlier])
        because_of[row], similarity[row] = near[0][0], near[1][0]
        winners[place] = because_of[row] < 0
    lost = np.flatnonzero(because_of >= 0)  # a winner of this block may be nearer than what it has
    near = kept.closest(rows[lost], rows[free[winners]], products[lost][:, winners])
    nearest = because_of[lost], similarity[lost]
    _keep_nearer(*nearest, *near)
    because_of[lost], similarity[lost] = nearest
    return _FilteredBlock(free[winners], because_of, similarity)


def keep_diverse(
    vectors: NDArray[np.float32],
    order: Ints,
    bound: float,
    costs: Ints,
    limit: int,
    block_rows: int = BLOCK_ROWS,
) -> DiverseRows:
    """Keep rows, in order, whose similarity to every row kept before is at most the bound.

    Args:
        vectors: (n, d) of length 1.
        order: (m,) rows, the preferred first.
        bound: Cosine similarity; a row above it, to 6 decimals, is ruled out.
        costs: (n,) what keeping a row costs.
        limit: What may be spent; it ends with the row that uses it up, or before the first one that
            does not fit.
        block_rows: Rows compared at once; makes no difference to the result.

    Returns:
        The rows kept, and what ruled out the others.

    Raises:
        ValueError: if a vector in `order` is not of length 1.
    """
    search = FlatSearch(screen_rows(vectors, order, bound), vectors.shape[1])
    return keep_by(KeptRows(vectors, bound, search), order, costs, limit, block_rows)


def keep_by(
    kept: KeptRows, order: Ints, costs: Ints, limit: int, block_rows: int = BLOCK_ROWS
) -> DiverseRows:
    """The same with a search of one's own; `kept` has no rows yet."""
    n = len(kept.vectors)
    because_of, similarity = no_causes(n), np.full(n, np.nan)
    with one_blas_thread():
        for start in range(0, len(order), block_rows):
            rows = order[start : start + block_rows]
            units = unit_vectors(kept.vectors[rows])
            indices, causes, values = _filter_block(kept, rows, units)
            fitting = count_fitting(costs[rows[indices]], limit)
            limit -= int(costs[rows[indices[:fitting]]].sum())
            # Rows of the block that were reached: before the one that does not fit, or up to the
            # last kept one where that used the budget up.
            end = indices[fitting] if fitting < len(indices) else len(rows)
            if limit <= 0:
                end = indices[fitting - 1] + 1 if fitting else 0
            kept.keep(rows[indices[:fitting]], units[indices[:fitting]])
            because_of[rows[:end]], similarity[rows[:end]] = causes[:end], values[:end]
            if end < len(rows):
                break
    return DiverseRows(kept.rows, because_of, similarity)
