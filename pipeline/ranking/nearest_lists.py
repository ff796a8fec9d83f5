"""The rows nearest to each group of queries, best first, as far down as anybody asks.

    s(g, x) = max over the queries q of g of cos(q, x)

No (rows, queries) table is kept: rows are multiplied with all queries in blocks, and each group
keeps the best it has seen. What float32 leaves in doubt, within its rounding error, is decided in
float64. So a list is exactly the head of the full sort, and when it is used up, it is found anew,
four times as long. Let v be the m-th largest of the float32 products of a group and e what they
may be off by. All rows with v - 2 e and more are compared exactly, and of these those at v - e and
above are the head: any other row is below that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.greedy_diverse import PAIRS_AT_ONCE, cosine_between, margin_of
from pipeline.ranking.searches import Vectors32
from scorers.arrays import Floats, Ints

TARGET_PRODUCTS = 1 << 21

LONGER = 4
"""Times as long as a list that was used up the next one is."""


@dataclass(frozen=True, slots=True)
class Near:
    """The head of a group's list."""

    rows: Ints  # (m,) the nearest first, the lower row in a tie
    similarity: Floats  # (m,) to 6 decimals
    query: Ints  # (m,) the query of the group that is nearest, the first one in a tie
    whole: bool  # whether these are all rows


class NearestLists:
    """Lists of rows for groups of queries."""

    def __init__(
        self, units: Vectors32, queries: Vectors32, groups: Sequence[Ints], first: int
    ) -> None:
        """Prepare the lists.

        Args:
            units: (n, d) of length 1, n above 0.
            queries: (m, d) of length 1.
            groups: which queries are of each group; none is empty.
            first: how long the lists are to be at first.
        """
        self._units, self._queries, self._groups = units, queries, groups
        self._wanted = [max(1, first)] * len(groups)
        self._lists = self._find(range(len(groups)))
        self._places = [0] * len(groups)

    def next_free(self, group: int, free: NDArray[np.bool_]) -> tuple[int, Near] | None:
        """The place in a group's list of its nearest row that is free (n,); None if none is left.

        What was passed over once is not looked at again: a row that is taken stays so.
        """
        while True:
            near, place = self._lists[group], self._places[group]
            while place < len(near.rows) and not free[near.rows[place]]:
                place += 1
            self._places[group] = place
            if place < len(near.rows):
                return place, near
            if near.whole:
                return None
            self._wanted[group] *= LONGER
            (self._lists[group],) = self._find([group])

    def _find(self, wanted: Sequence[int]) -> list[Near]:
        """The lists of some groups, each as long as is wanted of it or longer."""
        n, margin = len(self._units), margin_of(self._units.shape[1])
        seen = [_Best(min(n, self._wanted[group]), margin) for group in wanted]
        for start, products in self._products(wanted):
            floors = np.array([each.floor for each in seen], dtype=np.float32)
            row, column = np.nonzero(products >= floors)
            order = np.argsort(column, kind="stable")  # by group, rows ascending in each
            row, column = row[order], column[order]
            borders = np.searchsorted(column, np.arange(len(seen) + 1))
            for number, each in enumerate(seen):
                some = row[borders[number] : borders[number + 1]]
                each.add(some + start, products[some, number])
        return [
            self._decide(self._groups[group], each, margin)
            for group, each in zip(wanted, seen, strict=True)
        ]

    def _products(self, wanted: Sequence[int]) -> Iterator[tuple[int, Vectors32]]:
        """From which row on, and (b, groups) the highest product of each with a group's queries."""
        chosen = [self._groups[group] for group in wanted]
        queries = np.concatenate(chosen)
        firsts = np.cumsum([0, *(len(each) for each in chosen[:-1])])
        size = max(1, TARGET_PRODUCTS // len(queries))
        for start in range(0, len(self._units), size):
            products = self._multiply(slice(start, start + size), queries)
            yield start, np.maximum.reduceat(products, firsts, axis=1)

    def _multiply(self, rows: Ints | slice, queries: Ints) -> Vectors32:
        """(rows, queries) cosines, up to what float32 adds."""
        products: Vectors32 = self._units[rows] @ self._queries[queries].T
        return products

    def _decide(self, queries: Ints, seen: "_Best", margin: float) -> Near:
        """Compare exactly what a group has seen, and keep the part that is surely the head."""
        rows = np.sort(seen.rows)
        similarity, query = np.full(len(rows), -np.inf), np.empty(len(rows), dtype=np.int64)
        size = max(1, PAIRS_AT_ONCE // len(queries))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            products = self._multiply(part, queries)
            nearest = products.max(axis=1, keepdims=True)
            at, which = np.nonzero(products >= nearest - 2 * margin)  # row by row
            exact = cosine_between(self._units, part[at], self._queries, queries[which])
            order = np.lexsort((which, -exact, at))
            firsts = order[np.unique(at[order], return_index=True)[1]]  # the best of each row
            similarity[start : start + size] = exact[firsts]
            query[start : start + size] = queries[which[firsts]]
        order = np.argsort(-similarity, kind="stable")  # rows are ascending: the lower first
        whole = len(rows) == len(self._units)
        if not whole:
            order = order[similarity[order] >= seen.floor + margin]
        return Near(rows[order], similarity[order], query[order], whole)


class _Best:
    """The highest products of a group so far, and all that may be among them."""

    def __init__(self, wanted: int, margin: float) -> None:
        self._wanted, self._margin = wanted, margin
        self.rows = np.empty(0, dtype=np.int64)
        self._products = np.empty(0, dtype=np.float32)
        self.floor = -np.inf
        """What a product must have to be among them."""

    def add(self, rows: Ints, products: Vectors32) -> None:
        """Look at rows (b,) and their products (b,)."""
        if not len(rows):
            return
        self.rows = np.concatenate([self.rows, rows])
        self._products = np.concatenate([self._products, products])
        if len(self.rows) > self._wanted:
            least = np.partition(self._products, -self._wanted)[-self._wanted]
            self.floor = float(least) - 2 * self._margin
            kept = self._products >= self.floor
            self.rows, self._products = self.rows[kept], self._products[kept]
