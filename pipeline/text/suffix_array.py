"""A suffix array over many rows: every place where a run of words stands, in a moment.

    SA = the positions of a text, sorted by what stands from there on

All places that begin with the same words stand side by side in SA, so a binary search finds them.

Words and signs (tokens.py) are indexed, and not bytes or a model's tokens. A span of words begins
and ends with a word, the index has a fifth as many positions as there are bytes, and it is the same
whichever model is fine-tuned. Every row has two parts, its prompt and its response, with a
separator behind each that no text contains: so no match crosses from one into the next. A word that
the rows do not have, and the separator itself, match nothing.

Words are kept as the ranks of their 64-bit hashes, so that rows in the same order give the same
index on any machine. Who reports a span reads it again in its row, so a collision cannot show.

Building takes libdivsufsort (Yuta Mori; in Python `pydivsufsort`), about a second for every ten
million bytes, and 4 bytes for each position. A search takes some tens of comparisons.

Manber and Myers 1993, "Suffix arrays", doi:10.1137/0222058.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydivsufsort import divsufsort

from pipeline.text.shingles import hash_word
from pipeline.text.tokens import split_forms
from scorers.arrays import Ints

Tokens = NDArray[np.uint32]
Places = NDArray[np.integer]

SEPARATOR = 0  # stands behind each part of a row, and for every word that no row has

PARTS = ("prompt", "response")

BIG_ENDIAN = np.dtype(">u4")  # tokens are kept so, for then their bytes sort as they do


def order_suffixes(tokens: NDArray[np.integer]) -> Places:
    """Positions (m,) sorted by the tokens from there on; an end comes before any token."""
    if not len(tokens):
        return np.empty(0, dtype=np.int32)
    native: NDArray[np.uint32] = np.ascontiguousarray(tokens, dtype=np.uint32)
    order: Places = divsufsort(native)
    return order


@dataclass(frozen=True, slots=True)
class SuffixIndex:
    """Rows by every run of their words."""

    tokens: Tokens  # (m,) all parts of all rows, each with a separator behind it; big-endian
    order: Places  # (m,) the suffix array
    starts: Ints  # (2 n + 1,) where the prompt and response of each row begin; the last is m
    vocabulary: NDArray[np.uint64]  # (v,) hashes of the words, sorted; word w is the token w + 1
    counts: Ints  # (v + 1,) how often each token stands in the rows
    rows_with: Ints  # (v + 1,) in how many rows it does

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return (len(self.starts) - 1) // len(PARTS)

    @property
    def words(self) -> int:
        """Words and signs of all rows."""
        return len(self.tokens) - (len(self.starts) - 1)  # each part has one separator

    def encode(self, forms: Sequence[str]) -> Tokens:
        """The tokens (t,) of a text; the separator for words that no row has."""
        wanted = np.array([hash_word(form) for form in forms], dtype=np.uint64)
        if not len(self.vocabulary):
            return np.zeros(len(wanted), dtype=BIG_ENDIAN)
        at = np.searchsorted(self.vocabulary, wanted)
        known = self.vocabulary[np.minimum(at, len(self.vocabulary) - 1)] == wanted  # at may be v
        return np.where(known, at + 1, SEPARATOR).astype(BIG_ENDIAN)

    def find(self, pattern: NDArray[np.integer]) -> tuple[int, int]:
        """The interval of the suffix array whose positions begin with the pattern.

        It is empty for a pattern that is empty, or has a separator or a word that no row has.
        """
        if not len(pattern) or (np.asarray(pattern) == SEPARATOR).any():
            return 0, 0
        wanted = pattern.astype(BIG_ENDIAN).tobytes()
        indices, key = range(len(self.order)), partial(self._begins, length=len(pattern))
        return bisect_left(indices, wanted, key=key), bisect_right(indices, wanted, key=key)

    def longest(self, pattern: NDArray[np.integer]) -> int:
        """How many tokens of the pattern, from its start on, stand in a row in this order."""
        stops = np.flatnonzero(np.asarray(pattern) == SEPARATOR)
        pattern = pattern[: stops[0]] if stops.size else pattern
        if not len(pattern):
            return 0
        wanted = pattern.astype(BIG_ENDIAN).tobytes()
        begins = partial(self._begins, length=len(pattern))
        near = bisect_left(range(len(self.order)), wanted, key=begins)
        # What shares most with the pattern stands next to where it would stand itself.
        return max(self._shared(place, pattern) for place in (near - 1, near))

    def parts_at(self, positions: Places) -> Ints:
        """(k,) the part at each position: 2 r for the prompt of row r, 2 r + 1 for its response."""
        # "right", for a part begins at its start; - 1, for that counts the parts begun by then.
        found: Ints = np.searchsorted(self.starts, positions, side="right") - 1
        return found

    def row_tokens(self, row: int) -> Tokens:
        """Both parts of a row, with their separators."""
        first = row * len(PARTS)
        return self.tokens[self.starts[first] : self.starts[first + len(PARTS)]]

    def _begins(self, place: int, length: int) -> bytes:
        at = int(self.order[place])  # a Python int: numpy's of 32 bits could overflow below
        return self.tokens[at : at + length].tobytes()

    def _shared(self, place: int, pattern: NDArray[np.integer]) -> int:
        if not 0 <= place < len(self.order):  # the pattern would stand before or behind all
            return 0
        at = int(self.order[place])
        there = self.tokens[at : at + len(pattern)]  # shorter at the end of the tokens
        apart = np.flatnonzero(there != pattern[: len(there)])
        return int(apart[0]) if apart.size else len(there)


def build_index(rows: Iterable[tuple[str, str]]) -> SuffixIndex:
    """Index rows.

    Args:
        rows: prompt and response of each, in the order they are to be numbered.

    Returns:
        Their index. An empty text is a part without a word.

    Raises:
        ValueError: if two words have one hash.
    """
    numbers: dict[str, int] = {}  # words in the order of their first appearance, from 1
    flat, starts = array("I"), array("q", [0])
    for row in rows:
        for text in row:
            flat.extend(numbers.setdefault(form, len(numbers) + 1) for form in split_forms(text))
            flat.append(SEPARATOR)
            starts.append(len(flat))
    hashes = np.array([hash_word(form) for form in numbers], dtype=np.uint64)
    vocabulary = np.unique(hashes)
    if len(vocabulary) != len(hashes):
        raise ValueError(f"{len(hashes)} words have only {len(vocabulary)} hashes")
    # From numbers by appearance to ranks of hashes (v + 1,), which no order of rows can change.
    ranks = np.concatenate(([SEPARATOR], np.searchsorted(vocabulary, hashes) + 1))
    tokens = ranks.astype(np.uint32)[np.frombuffer(flat, dtype=np.uint32)]
    borders = np.frombuffer(starts, dtype=np.int64)
    return SuffixIndex(
        tokens=tokens.astype(BIG_ENDIAN),
        order=order_suffixes(tokens),
        starts=borders,
        vocabulary=vocabulary,
        counts=np.bincount(tokens, minlength=len(ranks)),
        rows_with=_count_rows(tokens, borders, len(ranks)),
    )


def _count_rows(tokens: NDArray[np.uint32], starts: Ints, kinds: int) -> Ints:
    """(kinds,) in how many rows each token stands."""
    sizes = np.diff(starts[:: len(PARTS)])  # (n,) tokens of each row, both parts
    rows = np.repeat(np.arange(len(sizes)), sizes)
    pairs = np.unique(rows * kinds + tokens)  # each token once a row
    return np.bincount(pairs % kinds, minlength=kinds)
