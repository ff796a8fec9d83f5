"""Texts as sets of shingles: every run of n consecutive words, hashed to 64 bits.

What counts as a word. Case and punctuation do not matter, the rest does:

- Letters, digits and their combining marks, case-folded and in Unicode's composed form (NFC).
- In scripts written without spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer), each character.
- Signs that calculate: + = < > ^ always, - * / before a digit. "What is 7 - 2?" is not "7 + 2?".

A text of fewer than n words is one shingle, the whole text: it has only exact copies. A text
without any word, such as "?!", is cut at white space instead. An empty text has no shingle.
"""

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Ints

Hashes = NDArray[np.uint64]

SPACELESS = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
PADDING = "\0"
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying by it loses nothing; the golden ratio's, so that it mixes well."""


SIGNS = r"[+=<>^]|[-*/](?=\s?\d)"
ASCII_WORDS = re.compile(rf"\w+|{SIGNS}")


@cache
def combining_marks() -> str:
    """All combining marks. Without them a script can lose its vowels."""
    return "".join(c for c in map(chr, range(0x300, 0x10000)) if category(c) in ("Mn", "Mc"))


def word_characters() -> str:
    """What a word is made of, as a regular expression."""
    return rf"[\w{combining_marks()}]+"


@cache
def _words() -> re.Pattern[str]:
    """The pattern of a word or sign."""
    return re.compile(rf"{word_characters()}|{SIGNS}")


def split_words(text: str) -> list[str]:
    """The words of a text in order; none where it is empty."""
    if text.isascii():
        words: list[str] = ASCII_WORDS.findall(text.lower())
    else:
        text = SPACELESS.sub(r" \g<0> ", normalize("NFC", text.casefold()))
        words = _words().findall(text)
    return words or text.split()


class _WordHashes(dict[str, int]):
    """64-bit hashes of words, each computed once."""

    def __missing__(self, word: str) -> int:
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self[word] = value = int.from_bytes(digest, "little")
        return value


@dataclass(frozen=True, slots=True)
class Shingles:
    """The shingles of n texts, end to end."""

    hashes: Hashes
    """(s,) in the order of the texts; a text may repeat one."""
    starts: Ints
    """(n + 1,) where each text's begin; the last is s."""

    def of(self, row: int) -> set[int]:
        """The set of one text's shingles."""
        return set(self.hashes[self.starts[row] : self.starts[row + 1]].tolist())


def hash_shingles(texts: Iterable[str], words: int) -> Shingles:
    """Cut texts into shingles.

    Args:
        texts: n texts.
        words: Words in a shingle, 1 or more.

    Returns:
        Their shingles. They depend on each text alone, on any machine.
    """
    hash_of = _WordHashes()
    padding = hash_of[PADDING]
    flat, lengths = array("Q"), array("q", [0])
    for text in texts:
        found = list(map(hash_of.__getitem__, split_words(text)))
        if found:
            found += [padding] * (words - len(found))
        flat.extend(found)
        lengths.append(len(found))
    ends = np.cumsum(np.frombuffer(lengths, dtype=np.int64))
    counts = np.maximum(np.diff(ends) - (words - 1), 0)
    starts = np.concatenate(([0], np.cumsum(counts)))
    hashes = np.frombuffer(flat, dtype=np.uint64)
    # A shingle's hash is that of its words as a number in base MULTIPLIER, modulo 2^64.
    places = np.arange(starts[-1]) + np.repeat(ends[:-1] - starts[:-1], counts)
    combined = hashes[places]
    for step in range(1, words):
        combined *= MULTIPLIER
        combined += hashes[places + step]
    return Shingles(combined, starts)
