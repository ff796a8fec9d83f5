"""Runs of n words as arrays, where words and signs differ in how much text they are.

A window begins at a word and ends where n words of English are reached: signs within it weigh
nothing, and characters of a script without spaces a part of a word (scorers/words.py). Which words
it holds follows from those words alone, so equal texts have equal windows wherever they stand.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.text.shingles import MULTIPLIER, Hashes
from scorers.arrays import Ints
from scorers.words import WORD

WHOLE = 2**64
INVERSE = np.uint64(pow(int(MULTIPLIER), -1, WHOLE))  # MULTIPLIER is odd: it has one, modulo 2^64


def window_ends(weights: Ints, starts: Ints, n: int) -> Ints:
    """Find where the window ends that begins at each place.

    Args:
        weights: (m,) of words and signs, texts end to end, in parts of WORD.
        starts: (t + 1,) where texts begin; the last is m.
        n: words in a window, 1 or more.

    Returns:
        (m,) the place behind the window; -1 where none begins, for it would begin with a sign or
        reach over the end of its text.
    """
    ends = np.full(len(weights), -1, dtype=np.int64)
    places = np.flatnonzero(weights)
    if (weights[places] == WORD).all():  # mostly: each word is one, and the n-th ends the window
        found = np.full(len(places), len(weights) + 1)
        found[: max(len(places) - n + 1, 0)] = places[n - 1 :] + 1
    else:
        before = np.concatenate(([0], np.cumsum(weights)))  # (m + 1,) weight before each place
        found = np.searchsorted(before, before[places] + n * WORD)
    last = np.repeat(starts[1:], np.diff(starts))[places]  # where the text of each ends
    ends[places] = np.where(found <= last, found, -1)
    return ends


def hash_windows(ids: NDArray[np.integer], begins: Ints, ends: Ints) -> Hashes:
    """The hash of the words of each window (w,): a number in base MULTIPLIER, modulo 2^64."""
    powers = np.full(len(ids) + 1, MULTIPLIER)
    inverses = np.full(len(ids) + 1, INVERSE)
    powers[:1] = inverses[:1] = 1
    powers, inverses = np.multiply.accumulate(powers), np.multiply.accumulate(inverses)
    # Before place j stands the sum of id_k / MULTIPLIER^k; the part between i and j, times
    # MULTIPLIER^j, is the number whose last digit is multiplied once.
    sums = np.zeros(len(ids) + 1, dtype=np.uint64)
    np.cumsum(ids.astype(np.uint64) * inverses[:-1], out=sums[1:])
    return (sums[ends] - sums[begins]) * powers[ends]


def count_added(groups: Ints, begins: Ints, ends: Ints) -> Ints:
    """How much text each window adds to those before it.

    Args:
        groups: (p,) windows that belong together.
        begins: (p,) weight of the text before each; sorted by group and this.
        ends: (p,) weight up to its end.
    """
    added = ends - begins  # the first of a group adds all its words
    same = groups[1:] == groups[:-1]
    # a later one those behind the end of the one before
    added[1:] = np.where(same, ends[1:] - np.maximum(begins[1:], ends[:-1]), added[1:])
    return added
