"""Searches among kept rows: which of them may be near enough to a row to be compared exactly.

A search may propose too many rows; each is decided in float64 afterwards (greedy_diverse.py). The
flat one proposes every row that is near enough. It need not look at all d columns for that: with x
in two parts, k columns and the rest,

    cos(x, y) = x_k.y_k + x_rest.y_rest <= x_k.y_k + |x_rest| |y_rest|       (Cauchy-Schwarz)

so k columns and one with the length of the rest never understate a similarity. How many columns
are needed for this to leave few pairs in doubt is tried on a sample, and differs with the bound.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from scorers.arrays import Ints

Vectors32 = NDArray[np.float32]

FEW_ROWS = 4096  # up to so many rows all columns are looked at
TILE_ROWS = 1024  # kept rows that are multiplied at a time
SAMPLE_ROWS = 1000  # half a million pairs, on which screens are tried
IN_DOUBT = 1e-4  # the share of all pairs that a screen may leave in doubt


@dataclass(frozen=True, slots=True)
class Found:
    """Pairs (p,) of a row that was asked about and a kept row that may be near enough."""

    asked: Ints  # places in the block of rows
    place: Ints  # places among the kept rows, in the order kept
    product: Vectors32  # their float32 similarity; inf where a search does not tell


class NeighbourSearch(Protocol):
    """A search among the rows kept so far."""

    def near(self, rows: Ints, units: Vectors32, least: float) -> Found:
        """The kept rows whose similarity to a row of a block may be above `least`.

        Args:
            rows: (b,) rows.
            units: (b, d) their vectors, of length 1.
            least: Similarity.
        """
        ...

    def keep(self, rows: Ints, units: Vectors32) -> None:
        """Add rows (b,) and their vectors (b, d) to those kept."""
        ...


@dataclass(frozen=True, slots=True)
class Screen:
    """Some columns of vectors and the length of the others; products never understate cosines."""

    columns: Ints | None  # None: all of them

    def view(self, units: Vectors32) -> Vectors32:
        """(b, k + 1) of units (b, d); the units themselves where all columns are looked at."""
        if self.columns is None:
            return units
        seen = np.empty((len(units), len(self.columns) + 1), dtype=np.float32)
        seen[:, :-1] = units[:, self.columns]
        rest = np.delete(units, self.columns, axis=1)
        seen[:, -1] = np.sqrt(np.einsum("nd,nd->n", rest, rest))  # |x_rest|
        return seen

    def width(self, d: int) -> int:
        """Columns of a view of vectors with d columns."""
        return d if self.columns is None else len(self.columns) + 1


ALL_COLUMNS = Screen(None)


def choose_screen(units: Vectors32, n: int, least: float) -> Screen:
    """The narrowest screen that leaves few pairs of a sample in doubt.

    Args:
        units: (s, d) a sample of the rows to come, of length 1.
        n: How many rows are to come.
        least: Similarity that is of interest, or more.

    Returns:
        Columns of most weight first; an eighth, a quarter or half of them, or all.
    """
    d = units.shape[1]
    if n <= FEW_ROWS or d < 16:
        return ALL_COLUMNS
    heaviest = np.argsort(-np.einsum("nd,nd->d", units, units), kind="stable")
    near = np.count_nonzero(units @ units.T >= least)
    for share in (8, 4, 2):  # the narrowest first
        screen = Screen(np.sort(heaviest[: d // share]))
        seen = screen.view(units)
        if np.count_nonzero(seen @ seen.T >= least) - near <= IN_DOUBT * len(units) ** 2:
            return screen
    return ALL_COLUMNS


class FlatSearch:
    """Every kept row is looked at: what it proposes is complete.

    Kept rows lie in tiles, and a tile times a block of rows is small enough to be looked through
    while it is in the cache. As many threads as BLAS has when the search is made take tiles in
    turn. While they do, BLAS itself should have one: see one_blas_thread().
    """

    def __init__(self, screen: Screen, d: int) -> None:
        self._screen = screen
        self._width = screen.width(d)
        self._tiles: list[Vectors32] = []
        self._kept = 0
        threads = max([1, *(library.num_threads for library in find_blas().lib_controllers)])
        self._threads = ThreadPoolExecutor(threads)  # they end with the search

    def near(self, rows: Ints, units: Vectors32, least: float) -> Found:
        """All kept rows that may be above `least`."""
        seen = self._screen.view(units)

        def look_through(start: int) -> tuple[Ints, Ints, Vectors32]:
            tile = self._tiles[start // TILE_ROWS][: self._kept - start]  # the filled part
            products = seen @ tile.T  # (b, tile)
            near = np.flatnonzero(products > least)  # of the flat array: row by row
            asked, place = np.divmod(near, len(tile))
            return asked, place + start, products.ravel()[near]

        starts = range(0, self._kept, TILE_ROWS)
        take_in_turn = map if len(starts) < 2 else self._threads.map  # both keep the order
        parts = list(take_in_turn(look_through, starts))
        if not parts:
            return Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        asked, place, products = (np.concatenate(column) for column in zip(*parts, strict=True))
        if self._screen.columns is not None:  # they are bounds, and no similarities
            products = np.full(len(place), np.inf, dtype=np.float32)
        return Found(asked, place, products)

    def keep(self, rows: Ints, units: Vectors32) -> None:
        """Add them to the tiles."""
        seen = self._screen.view(units)
        while len(seen):
            filled = self._kept % TILE_ROWS
            if not filled:
                self._tiles.append(np.empty((TILE_ROWS, self._width), dtype=np.float32))
            part, seen = seen[: TILE_ROWS - filled], seen[TILE_ROWS - filled :]
            self._tiles[-1][filled : filled + len(part)] = part
            self._kept += len(part)


def one_blas_thread() -> AbstractContextManager[object]:
    """While it is entered, BLAS uses one thread for each product.

    Several of them wait for each other actively: where products are small, or the machine is busy,
    that takes more time than it saves.
    """
    limit: AbstractContextManager[object] = find_blas().limit(limits=1)
    return limit


@cache
def find_blas() -> ThreadpoolController:
    """NumPy's BLAS, and others that are loaded; looking for them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")
