"""Words, runs of words and lines of a text, as the scorers that read text count them.

- A word is a run of letters, digits, underscores and their combining marks; "don't" is two. Case
  does not matter, nor how Unicode composes a letter (NFC). Punctuation is no word.
- In scripts written without spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer) each character
  is a word.
- A line ends at any line break of Unicode; one of white space alone is none.
"""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import TypeAlias
from unicodedata import category, normalize

WordRun: TypeAlias = tuple[str, ...]
"""Consecutive words."""

SPACELESS = (
    "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Characters of scripts that are written without spaces, as ranges of a regular expression."""

SPACELESS_CHARACTER = re.compile(f"([{SPACELESS}])")

WORD = 420
"""Parts of a word in which the shares of words below are whole."""

CHARACTER_WEIGHTS = (
    ("\u3040-\u30ff\uff66-\uff9f", WORD // 4),  # kana
    ("\u0e01-\u0eff", WORD // 5),  # Thai, Lao
    ("\u1000-\u109f\u1780-\u17ff", WORD // 6),  # Burmese, Khmer
    (SPACELESS, WORD * 4 // 7),  # Han, which is all that is left
)
"""How much of an English word a character is, as a range and parts of WORD.

Measured on translated messages of Debian packages, sentences of 6 to 60 English words: for an
English word there are 1.7 characters in Chinese (14,600 sentences), 5.3 in Thai (700), 5.7 in
Burmese (900) and 6.0 in Khmer (200); in Japanese (8,000) 3.6 kana, or 1.9 Han characters.
"""

ASCII_WORD = re.compile(r"\w+")


@cache
def combining_marks() -> str:
    """All combining marks. Without them a script can lose its vowels."""
    # U+0300 is the first of them; those beyond U+FFFF belong to scripts that are seldom used.
    return "".join(c for c in map(chr, range(0x300, 0x10000)) if category(c) in ("Mn", "Mc"))


def word_characters() -> str:
    """What a word is made of, as a regular expression."""
    return rf"[\w{combining_marks()}]+"


@cache  # not a constant: an import should not walk through 65,000 characters
def _word() -> re.Pattern[str]:
    return re.compile(word_characters())


def space_out(text: str) -> str:
    """A text with spaces around each character of a script that is written without them."""
    return " ".join(SPACELESS_CHARACTER.split(text))  # several times as fast as a substitution


def find_words(text: str) -> list[str]:
    """Runs of what words are made of, as they stand in a text."""
    return (ASCII_WORD if text.isascii() else _word()).findall(text)


def split_words(text: str) -> list[str]:
    """The words of a text in order."""
    if text.isascii():
        return find_words(text.lower())
    return find_words(space_out(normalize("NFC", text.casefold())))


@cache
def _weight_patterns() -> list[tuple[re.Pattern[str], int]]:
    return [(re.compile(f"[{characters}]"), parts) for characters, parts in CHARACTER_WEIGHTS]


def word_weight(word: str) -> int:
    """How much of an English word a word is, in parts of WORD; 0 for a sign, which is none."""
    if word.isascii():
        return WORD if word.isalnum() or "_" in word else 0
    if not any(each.isalnum() or each == "_" or category(each)[0] == "M" for each in word):
        return 0
    for characters, parts in _weight_patterns():
        if characters.match(word):
            return parts
    return WORD


def count_words(words: Iterable[str]) -> float:
    """How many English words make as much text as some words."""
    return sum(map(word_weight, words)) / WORD


def split_lines(text: str) -> list[str]:
    """The lines of a text in order, without white space at their ends."""
    return [line for each in text.splitlines() if (line := each.strip())]


def count_visible(text: str) -> int:
    """Characters that are not white space."""
    return sum(map(len, text.split()))


def run_ends(words: Sequence[str], n: int) -> list[int]:
    """Where each run of as much text as n English words ends: the index behind its last word.

    From each word on the run is as short as can be; n words, but for scripts without spaces, of
    whose characters several make a word. From the last words on there is none.

    Raises:
        ValueError: if n is below 1.
    """
    if n < 1:
        raise ValueError(f"n is a number of words, 1 or more, got {n}")
    if all(map(str.isascii, words)):
        return list(range(n, len(words) + 1))
    weights = list(map(word_weight, words))
    ends: list[int] = []
    end, weight = 0, 0  # of the run that begins at the current word
    for own in weights:
        while weight < n * WORD and end < len(words):
            weight += weights[end]
            end += 1
        if weight < n * WORD:
            break
        ends.append(end)
        weight -= own
    return ends


def runs_of(words: Sequence[str], n: int) -> Iterator[WordRun]:
    """Every run of as much text as n words, in order: their n-grams.

    Raises:
        ValueError: if n is below 1.
    """
    return (tuple(words[start:end]) for start, end in enumerate(run_ends(words, n)))


def stand_in_a_row(wanted: Sequence[str], words: Sequence[str]) -> bool:
    """Whether words stand among others in the same order, with nothing between; none always do."""
    starts = range(len(words) - len(wanted) + 1)
    return any(words[start : start + len(wanted)] == wanted for start in starts)


def share_in_runs(words: Sequence[str], n: int, wanted: Container[WordRun]) -> float:
    """The share of the words' characters that stand in a wanted run of n of them, each once.

    Args:
        words: one or more.
        n: words of a run, as `run_ends` counts them.
        wanted: the runs that count.
    """
    before = [0, *accumulate(map(len, words))]  # characters before word i: one more than words
    covered, last = 0, 0  # characters so far; the word behind the last run that counted
    for start, end in enumerate(run_ends(words, n)):
        if end > last and tuple(words[start:end]) in wanted:
            covered += before[end] - before[max(start, last)]  # the part not covered yet
            last = end
    return covered / before[-1]
