"""N-grams as arrays: which texts they stand in, and how much of a text they cover."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.text.shingles import Hashes
from scorers.arrays import Ints

WordIds = NDArray[np.int64]


def find_owners(starts: Ints) -> Ints:
    """The text that each word belongs to, from where texts start (t + 1,)."""
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))


def is_first(*columns: NDArray[np.generic]) -> NDArray[np.bool_]:
    """(p,) whether an entry differs from the one before it; columns are sorted together."""
    first = np.ones(len(columns[0]), dtype=bool)
    first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return first


def shared_by_many(hashes: Hashes, items: Ints, evaluations: Ints, most: int) -> NDArray[np.bool_]:
    """(w,) whether more than `most` items of one set have an n-gram; sorted by hash and item."""
    sets = evaluations[items]
    runs = np.cumsum(is_first(hashes, sets)) - 1  # (w,) numbers of n-gram and set
    # Weights are 1 where an item begins: their sum is the items of a run, however often in each.
    common: NDArray[np.bool_] = (np.bincount(runs, is_first(hashes, items)) > most)[runs]
    return common


class SharedRun(NamedTuple):
    """N-grams that follow each other in an item and in a row."""

    first: int  # place of the first in the item
    last: int
    row_place: int  # of the first in the row


def longest_run(item_places: Ints, row_places: Ints, turns: Ints) -> SharedRun:
    """The longest run of n-grams that follow each other in both.

    Of two as long, the one that is first in the item, and then in the row.

    Args:
        item_places: (p,) where n-grams begin in the item.
        row_places: (p,) and in the row.
        turns: (p,) number of each n-gram of the item, in the order of its words.
    """
    diagonals = row_places - item_places  # constant while both move on
    order = np.lexsort((item_places, diagonals))
    items, diagonals, turns = item_places[order], diagonals[order], turns[order]
    # Turns that follow each other less their number are constant: a new value begins a run.
    starts = np.flatnonzero(is_first(diagonals, turns - np.arange(len(turns))))
    lengths = np.diff(starts, append=len(items))
    rows = items[starts] + diagonals[starts]
    best = np.lexsort((rows, items[starts], -lengths))[0]
    first = starts[best]
    return SharedRun(int(items[first]), int(items[first + lengths[best] - 1]), int(rows[best]))
