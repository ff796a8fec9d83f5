"""What is compared: items of an evaluation set, rows as turns, and the words of both.

Words and signs are those of deduplication (pipeline/text/compared_words.py). A sign makes two texts
differ and is no word of an n-gram's length: in a worked calculation signs would make one of nearly
nothing. Numbers are words like any other, or all of them one word, where changed numbers are to be
looked past.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.text.compared_words import compared_words
from storage.conversations import Message, message_text

# Which part of an item was found; overlap: a run of words from its prompt into its answer.
Matched = Literal["prompt", "answer", "overlap"]
MATCHED: tuple[Matched, ...] = get_args(Matched)
Numbers = Literal["exact", "any"]

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


def plain_words(text: str, numbers: Numbers = "exact") -> list[str]:
    """The words and signs of a text in order; with any numbers, all of them are one word."""
    if numbers == "any":
        text = NUMBER.sub(ANY_NUMBER, text)
    return compared_words(text)


def read_turn_texts(messages: Iterable[Message]) -> list[TurnText]:
    """The messages of a conversation as turns of plain text."""
    return [TurnText(str(message["role"]), message_text(message)) for message in messages]
