"""Cells: an inverted index (IVF) over vectors, so that a row meets the rows of a few cells only.

A cell has a centre, which is a row of the pool drawn by a hash of its id. A row is at home in the
cell whose centre it is most similar to, and is compared with the kept rows that are at home in the
cells nearest to it. Two similar rows are missed if the one's home is not among the other's cells:
how often that happens is measured (semantic.py) and said.

Which cells are nearest is worked out in whole numbers. Vectors are scaled to a length below 2^12
and rounded, so that every product and every sum on the way to one is below 2^24 and exact in
float32: the cells of a row depend on neither threads, blocks nor the order of adding.

The centres and the cells of each row are stored in the workspace under the vectors' key and the
number of cells. Rows that come later are put into the same cells. A pool four times as large has
twice as many cells, and then all rows are put into new ones.

Jegou, Douze and Schmid 2011, "Product quantization for nearest neighbor search",
doi:10.1109/TPAMI.2010.57 (the inverted index); Douze et al. 2024, arXiv:2401.08281 (FAISS).
"""

from dataclasses import dataclass

import faiss
import numpy as np
from faiss.contrib.ivf_tools import add_preassigned, range_search_preassigned
from numpy.typing import NDArray

from pipeline.ranking.searches import Found, Screen, Vectors32
from scorers.arrays import Ints, Strings
from storage.conversations import content_hash

VERSION = 1  # of the cells of a row; those found under another are not read
MOST_CELLS = 64  # cells kept of each row, the nearest first
LENGTH = 4095.0  # a product of two is below 2^24, up to which float32 counts whole numbers
ROWS_AT_ONCE = 4096  # whose products with all centres are in memory together


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of n rows."""

    nearest: NDArray[np.uint32]  # (n, w) the nearest cells of each row; the first is its home
    count: int  # cells there are
    searched: int  # cells of each row whose kept rows it is compared with, at most w


def count_cells(n: int) -> int:
    """How many cells suit n rows: the power of 2 at or above twice the square root."""
    return 1 << max(0, int(np.ceil(np.log2(max(4 * n, 1)) / 2)))  # log2(2 sqrt(n)), of 4 n


def draw_rows(ids: Strings, wanted: int, purpose: str) -> Ints:
    """Rows (m,) drawn by a hash of their ids; those of a larger pool are much the same."""
    hashes = [content_hash([purpose, str(example_id)]) for example_id in ids]
    return np.array(sorted(range(len(ids)), key=hashes.__getitem__)[:wanted], dtype=np.int64)


def whole_numbers(units: Vectors32) -> Vectors32:
    """Vectors (n, d) of length 1 as whole numbers, so small that float32 products are exact."""
    # Rounding moves each of d columns by 1/2 at most, so it lengthens a row by sqrt(d) / 2.
    scaled: Vectors32 = np.rint(units * np.float32(LENGTH - np.sqrt(units.shape[1]) / 2))
    return scaled


def nearest_cells(units: Vectors32, centres: Vectors32) -> NDArray[np.uint32]:
    """The cells nearest to each row.

    Args:
        units: (n, d) of length 1.
        centres: (c, d) whole numbers.

    Returns:
        (n, w) cells, the nearest first and the lower number in a tie; w is MOST_CELLS, or c.
    """
    count = len(centres)
    width = min(MOST_CELLS, count)
    nearest = np.empty((len(units), width), dtype=np.uint32)
    tie_break = np.arange(count) / (2 * count)  # below 1/2, and products are whole numbers
    for start in range(0, len(units), ROWS_AT_ONCE):
        products = whole_numbers(units[start : start + ROWS_AT_ONCE]) @ centres.T
        keys = tie_break - products.astype(np.float64)  # distinct: sorting has one answer
        chosen = np.argpartition(keys, width - 1, axis=1)[:, :width]
        order = np.argsort(np.take_along_axis(keys, chosen, axis=1), axis=1)
        nearest[start : start + ROWS_AT_ONCE] = np.take_along_axis(chosen, order, axis=1)
    return nearest


class CellSearch:
    """Looks at the kept rows of a row's cells, through a screen of the columns."""

    def __init__(self, cells: Cells, screen: Screen, d: int) -> None:
        self._cells = cells
        self._screen = screen
        self._centres = faiss.IndexFlatIP(screen.width(d))  # never asked: cells are given
        self._index = faiss.IndexIVFFlat(
            self._centres, screen.width(d), cells.count, faiss.METRIC_INNER_PRODUCT
        )
        self._index.is_trained = True  # nothing is left to train: the cells are there
        self._index.nprobe = cells.searched

    def near(self, rows: Ints, units: Vectors32, least: float) -> Found:
        """The rows in the same cells that may be above `least`."""
        searched = self._cells.nearest[rows, : self._cells.searched].astype(np.int64)
        seen = np.ascontiguousarray(self._screen.view(units))  # FAISS reads it through a pointer
        limits, products, indices = range_search_preassigned(  # type: ignore[no-untyped-call]
            self._index, seen, least, searched
        )
        if self._screen.columns is not None:  # they are bounds, and no similarities
            products = np.full(len(indices), np.inf, dtype=np.float32)
        # Row i of the block has the answers limits[i] to limits[i + 1].
        asked = np.repeat(np.arange(len(rows)), np.diff(limits.astype(np.int64)))
        return Found(asked, indices, products)

    def keep(self, rows: Ints, units: Vectors32) -> None:
        """Put them into their homes."""
        homes = self._cells.nearest[rows, 0].astype(np.int64)
        seen = np.ascontiguousarray(self._screen.view(units))
        add_preassigned(self._index, seen, homes)  # type: ignore[no-untyped-call]
