"""Runs of n words as arrays: where they stand, their hashes, and how much of a text they cover."""

import numpy as np
from numpy.typing import NDArray

from pipeline.text.shingles import MULTIPLIER, Hashes
from scorers.arrays import Ints

WordIds = NDArray[np.int64]


def find_owners(starts: Ints) -> Ints:
    """The text that each word belongs to, from where texts start (t + 1,)."""
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))


def whole_windows(owners: Ints, n: int) -> Ints:
    """Places from which n words of one text follow."""
    # The first and the last word of a window are of one text, so those between them are too.
    indices: Ints = np.flatnonzero(owners[: max(len(owners) - n + 1, 0)] == owners[n - 1 :])
    return indices


def hash_windows(ids: WordIds, n: int) -> Hashes:
    """The hash of the n words from each place on: a number in base MULTIPLIER, modulo 2^64."""
    count = max(len(ids) - n + 1, 0)
    keys = ids.astype(np.uint64)
    hashes = keys[:count].copy()
    for step in range(1, n):
        hashes *= MULTIPLIER
        hashes += keys[step : step + count]
    return hashes * MULTIPLIER  # or the last word would not reach the high bits


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


def count_covered(groups: Ints, indices: Ints, n: int) -> Ints:
    """How many words each n-gram adds to those before it; sorted by group and place."""
    added = np.full(len(indices), n)  # the first of a group adds all its words
    gaps = np.minimum(np.diff(indices), n)  # a later one those behind the end of the one before
    added[1:] = np.where(groups[1:] == groups[:-1], gaps, n)
    return added


def longest_run(item_places: Ints, row_places: Ints) -> tuple[int, int, int]:
    """The longest run of n-grams that follow each other in both: its two places, its length.

    Of two as long, the one that is first in the item, and then in the row.
    """
    diagonals = row_places - item_places  # constant while both move on by one
    order = np.lexsort((item_places, diagonals))
    items, diagonals = item_places[order], diagonals[order]
    # Places that follow each other less their number are constant: a new value begins a run.
    starts = np.flatnonzero(is_first(diagonals, items - np.arange(len(items))))
    lengths = np.diff(starts, append=len(items))
    rows = items[starts] + diagonals[starts]
    best = np.lexsort((rows, items[starts], -lengths))[0]
    return int(items[starts[best]]), int(rows[best]), int(lengths[best])
