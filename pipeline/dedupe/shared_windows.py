"""Runs of words that stand in several rows, and how much of a row lies in them."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydivsufsort import kasai

from pipeline.text.compared_words import word_weights
from pipeline.text.shingles import shingle_words
from pipeline.text.suffix_array import SEPARATOR, order_suffixes
from pipeline.text.word_windows import count_added
from scorers.arrays import Ints


class NumberedWords(NamedTuple):
    """n texts end to end, as m numbers of their words, a separator behind each text."""

    tokens: NDArray[np.uint32]  # (m,)
    starts: Ints  # (n + 1,) where texts begin
    weights: Ints  # (m,) how much text each word is, in parts of WORD; 0: a sign or separator


def number_words(texts: Iterable[str]) -> NumberedWords:
    """Texts as numbers of their words.

    Equal words have equal numbers. Which numbers they are depends on the order of the texts, and
    nothing here depends on that.
    """
    numbers: dict[str, int] = {}
    flat, starts = array("I"), [0]
    for text in texts:
        flat.extend(numbers.setdefault(word, len(numbers) + 1) for word in shingle_words(text))
        flat.append(SEPARATOR)
        starts.append(len(flat))
    tokens = np.frombuffer(flat, dtype=np.uint32)
    weights = np.concatenate(([0], word_weights(numbers)))[tokens]  # the separator is 0
    return NumberedWords(tokens, np.array(starts, dtype=np.int64), weights)


def shared_windows(tokens: NDArray[np.uint32], starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The places from which as many words stand that stand in another row too.

    Args:
        tokens: (m,) numbers of words, a separator behind each row.
        starts: (n + 1,) where rows begin; the last is m.
        ends: (m,) where the window ends that begins at each place, -1 where none does.

    Returns:
        Places (k,) in order, and windows (k,): places with the same words have the same number.
    """
    sorted_places = order_suffixes(tokens)
    order: Ints = sorted_places.astype(np.int64)
    if not len(order):
        return order, order
    sizes = np.where(ends < 0, len(tokens) + 1, ends - np.arange(len(tokens)))  # -1: alike to none
    # kasai: how many tokens each suffix has in common with the next in order
    alike = np.asarray(kasai(tokens.astype(np.int32), sorted_places))[:-1] >= sizes[order][:-1]
    # All suffixes that begin with the same words stand together: a new window where they end.
    window: Ints = np.concatenate(([0], np.cumsum(~alike)))
    rows = np.searchsorted(starts, order, side="right") - 1
    whole = ends[order] >= 0
    order, window, rows = order[whole], window[whole], rows[whole]
    if not len(order):  # reduceat takes no empty array
        return order, window
    firsts = np.flatnonzero(np.diff(window, prepend=-1))
    lowest, highest = np.minimum.reduceat(rows, firsts), np.maximum.reduceat(rows, firsts)
    counts = np.diff(firsts, append=len(order))
    shared = np.repeat(lowest != highest, counts)  # two rows at least have the window
    order, window = order[shared], window[shared]
    by_place = np.argsort(order)
    return order[by_place], window[by_place]


@dataclass(frozen=True, slots=True)
class WindowLengths:
    """How much text stands before and up to the end of each window, by where it begins (m,)."""

    turns: Ints  # number of the word
    begins: Ints  # weight before it
    ends: Ints  # weight up to the end of its window


def longest_runs(here: Ints, there: Ints, rows: Ints, text: WindowLengths) -> dict[int, int]:
    """Other row → the weight of the longest run of windows in turn that it has in common.

    Args:
        here: (p,) places in one row.
        there: (p,) places in other rows where the same window stands.
        rows: (p,) those rows.
        text: of all places.
    """
    shift = there - here
    order = np.lexsort((here, shift))
    here, shift, rows = here[order], shift[order], rows[order]
    # A run goes on while both places move by one word; it cannot leave a row, for no window does.
    breaks = (np.diff(text.turns[here]) != 1) | (np.diff(shift) != 0)
    firsts = np.flatnonzero(np.concatenate(([True], breaks)))
    lasts = np.append(firsts[1:], len(here)) - 1
    longest: dict[int, int] = {}
    runs = text.ends[here[lasts]] - text.begins[here[firsts]]
    for row, run in zip(rows[firsts].tolist(), runs.tolist(), strict=True):
        longest[row] = max(longest.get(row, 0), run)
    return longest


def covered_text(here: Ints, rows: Ints, text: WindowLengths) -> dict[int, int]:
    """Other row → the weight of this one's text that lies in windows that it has too.

    Args:
        here: (p,) places in one row.
        rows: (p,) other rows that have the window from there.
        text: of all places.
    """
    pairs = np.unique(np.stack((rows, here), axis=1), axis=0)  # sorted by row, then by place
    new = count_added(pairs[:, 0], text.begins[pairs[:, 1]], text.ends[pairs[:, 1]])
    others, indices = np.unique(pairs[:, 0], return_inverse=True)
    totals = np.bincount(indices, weights=new)
    return dict(zip(others.tolist(), totals.astype(np.int64).tolist(), strict=True))
