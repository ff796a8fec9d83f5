"""What is compared: items of an evaluation set, rows as turns, and the words of both.

A word is a run of letters, digits and their combining marks, case-folded, in Unicode's composed
form (NFC); in scripts without spaces it is each character. Signs are no words here: in a worked
calculation they would make an n-gram of nearly nothing. Numbers are words like any other, or all
of them one word, where changed numbers are to be looked past.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from scorers.words import space_out, word_characters
from storage.conversations import Message, message_text

# Which part of an item was found; overlap: a run of words from its prompt into its answer.
Matched = Literal["prompt", "answer", "overlap"]
MATCHED: tuple[Matched, ...] = get_args(Matched)
Numbers = Literal["exact", "any"]

# What becomes of an ASCII character before a text is cut at spaces; faster than PLAIN_WORD.
ASCII_LETTERS = {n: chr(n).lower() if re.match(r"\w", chr(n)) else " " for n in range(128)}
PLAIN_WORD = re.compile(r"\w+")
# Scripts that may have combining marks or no spaces; composed Latin and typography have none.
BEYOND_LATIN = re.compile("[^\x00-\u02ff\u2000-\u206f]")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
ANY_NUMBER = "0"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an evaluation set."""

    evaluation: int  # number of its set
    position: int  # line or row number in its file, from 1
    prompt: str
    answer: str  # "" where the set has none


class TurnText(NamedTuple):
    """One message of a row."""

    role: str
    text: str


RowTurns: TypeAlias = Sequence[TurnText]


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """A row that holds something of an item."""

    row: int  # place in the block of rows
    item: int  # place in the list of items
    matched: Matched
    rule: str
    similarity: float  # share of the part that was found, or a cosine
    evidence: Mapping[str, Any]  # what is shared and where it stands in both


class RowBlock(NamedTuple):
    """Some rows, in the order of their ids."""

    ids: Sequence[str]
    rows: Sequence[RowTurns]
    vectors: NDArray[np.float64] | None  # (n, d) NaN where a row has none; None: none are compared


class Matcher(Protocol):
    """One rule, made ready for a list of items."""

    @property
    def rule(self) -> str:
        """What the rule is called in hits and reports."""
        ...

    @property
    def checked(self) -> Mapping[Matched, NDArray[np.bool_]]:
        """Part → (m,) whether the rule can find that part of an item at all."""
        ...

    def find(self, block: RowBlock) -> list[ItemMatch]:
        """All matches of a block, by row and item."""
        ...


@cache
def _word() -> re.Pattern[str]:
    return re.compile(word_characters())


def plain_words(text: str, numbers: Numbers = "exact") -> list[str]:
    """The words of a text in order; with any numbers, all of them are one word."""
    if numbers == "any":
        text = NUMBER.sub(ANY_NUMBER, text)
    if text.isascii():
        return text.translate(ASCII_LETTERS).split()
    text = normalize("NFC", text.casefold())
    if not BEYOND_LATIN.search(text):
        return PLAIN_WORD.findall(text)
    return _word().findall(space_out(text))


def read_turn_texts(messages: Iterable[Message]) -> list[TurnText]:
    """The messages of a conversation as turns of plain text."""
    return [TurnText(str(message["role"]), message_text(message)) for message in messages]
