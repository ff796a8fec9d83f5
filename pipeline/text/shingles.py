"""Texts as sets of shingles: every run of n consecutive units, hashed to 64 bits.

A unit is a word or a sign, or a character; compared_words.py says what a word is, and which
differences of characters are looked past. In scripts without spaces each character is a word here:
J is a share, and shorter shingles find more of a short text. Characters are all that stand in the
text, punctuation too; white space of any length is one space.

A text of fewer than n units is one shingle, the whole text: it has only exact copies. A text
without any word, such as "?!", is cut at white space instead. An empty text has no shingle.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.text.compared_words import compared_words, fold_text
from scorers.arrays import Ints

Hashes = NDArray[np.uint64]

PADDING = "\0"
# Odd, so that multiplying by it loses nothing; the golden ratio's, so that it mixes well.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def shingle_words(text: str) -> list[str]:
    """The words and signs of a text in order; where it has none, its parts between white space."""
    return compared_words(text) or text.split()


def hash_word(word: str) -> int:
    """64 bits of a word, the same on any machine and in any process (`hash` is salted)."""
    digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


Unit = Literal["words", "characters"]


@dataclass(frozen=True, slots=True)
class Shingling:
    """How texts are cut into shingles."""

    unit: Unit = "words"
    n: int = 5  # units in a shingle, 1 or more


@dataclass(frozen=True, slots=True)
class Shingles:
    """The shingles of n texts, end to end."""

    hashes: Hashes  # (s,) in the order of the texts; a text may repeat one
    starts: Ints  # (n + 1,) where each text's begin; the last is s

    def of(self, row: int) -> set[int]:
        """The set of one text's shingles."""
        return set(self.hashes[self.starts[row] : self.starts[row + 1]].tolist())


def hash_shingles(texts: Iterable[str], cut: Shingling) -> Shingles:
    """Cut n texts into shingles, which depend on each text alone, on any machine."""
    units = _hash_words if cut.unit == "words" else _hash_characters
    hashes, ends = units(texts, cut.n)  # (units,), (n + 1,)
    counts = np.maximum(np.diff(ends) - (cut.n - 1), 0)  # u units hold u - n + 1 runs of n
    starts = np.concatenate(([0], np.cumsum(counts)))
    if not len(hashes):
        return Shingles(hashes, starts)
    # A shingle's hash is that of its units as a number in base MULTIPLIER, modulo 2^64. All runs
    # are combined, those over the end of a text too, and those of each text are taken out.
    runs = max(len(hashes) - cut.n + 1, 0)
    combined = hashes[:runs].copy()
    for step in range(1, cut.n):
        combined *= MULTIPLIER
        combined += hashes[step : step + runs]
    inside = np.ones(len(hashes), dtype=bool)
    filled = ends[1:] > ends[:-1]
    for step in range(1, cut.n):  # the last n - 1 runs of a text go on into the next
        inside[np.maximum(ends[1:] - step, ends[:-1])[filled]] = False
    return Shingles(combined[inside[:runs]], starts)


def _hash_words(texts: Iterable[str], n: int) -> tuple[Hashes, Ints]:
    """Hashes of all words, short texts padded to n, and where each text ends (behind a 0)."""
    hash_of = cache(hash_word)  # for this call only: it would grow with every data set
    flat, lengths = array("Q"), array("q", [0])
    for text in texts:
        words = shingle_words(text)
        if words:
            words += [PADDING] * (n - len(words))  # none where that is below 0
        flat.extend(map(hash_of, words))
        lengths.append(len(words))
    return np.frombuffer(flat, dtype=np.uint64), np.cumsum(np.frombuffer(lengths, dtype=np.int64))


def _hash_characters(texts: Iterable[str], n: int) -> tuple[Hashes, Ints]:
    """The same of all characters."""
    parts, lengths = [], [0]
    for text in texts:
        plain = " ".join(fold_text(text).split())
        plain += PADDING * (n - len(plain)) * bool(plain)  # an empty text has no shingle
        parts.append(plain)
        lengths.append(len(plain))
    # UTF-32: four bytes for every character, so that an array of them is aligned with `lengths`.
    codes = np.frombuffer("".join(parts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    hashes = codes.astype(np.uint64) + np.uint64(1)  # 0, the padding, would stay 0 below
    for _ in range(2):  # neighbours in the alphabet must not be neighbours as hashes
        hashes = (hashes ^ (hashes >> np.uint64(31))) * MULTIPLIER
    return hashes ^ (hashes >> np.uint64(29)), np.cumsum(lengths)
