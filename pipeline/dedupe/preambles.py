"""What rows share before they come to the point, and that makes no copies of them.

Left out of what is compared, where it stands before the request that the response answers:

- the system text, and all earlier turns: a dialogue that was unrolled has a row for each reply,
  and each row holds all of the rows before it;
- leading lines of 200 characters and more that 8 rows or more begin with: schemas of tools, the
  examples of a few-shot prompt.

Two rows with other preambles are copies only if they are alike with them as well: "Hello." to be
put into French is not "Hello." to be put into German. A prompt that is all preamble is compared as
it is. The schemas that a row has under `tools` are never compared.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.measuring.measures.embeddings import ComparedField
from pipeline.selection.candidates import Candidates
from scorers.arrays import Ints
from storage.conversations import TextField, compared_text

MANY = 8  # rows; fewer that begin alike may be copies of each other with changes at the end
ALIKE = 100  # characters with which two rows begin, so that their preambles may be one
OPENING = 200  # characters; lines that are shorter together weigh little

PreambleRule = Literal["leave_out", "compare"]


class Compared(NamedTuple):
    """A text that is compared, in two parts."""

    preamble: str
    text: str

    @property
    def whole(self) -> str:
        """Both parts."""
        return self.preamble + self.text


def common_length(one: str, other: str) -> int:
    """Characters with which two texts begin alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # bisection: comparing slices is fast, comparing characters is not
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def shared_lines(prompts: Sequence[str]) -> Ints:
    """Find the leading lines that MANY prompts or more have.

    Args:
        prompts: (n,) texts.

    Returns:
        (n,) characters of those lines; 0 where they have fewer than OPENING, or nothing follows.
    """
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    longest = np.zeros(len(prompts), dtype=np.int64)
    # Sorted, all texts that begin alike stand together: the first and last of MANY tell of all.
    for start in range(len(order) - MANY + 1):
        window = order[start : start + MANY]
        length = common_length(prompts[window[0]], prompts[window[-1]])
        longest[window] = np.maximum(longest[window], length)
    return np.array(
        [
            _line_end(prompt, length)
            for prompt, length in zip(prompts, longest.tolist(), strict=True)
        ],
        dtype=np.int64,
    )


def _line_end(prompt: str, length: int) -> int:
    """The end of the last line within so many characters, if there is something behind it."""
    end = prompt.rfind("\n", 0, min(length, len(prompt.rstrip()))) + 1
    return end if end >= OPENING else 0


class RowTexts:
    """The compared texts of some rows, in two parts."""

    def __init__(self, rows: Candidates, of: TextField, rule: PreambleRule) -> None:
        self._rows, self._of = rows, of
        self._whole = rule == "compare" or of == "response"
        self.shared = {} if self._whole else shared_by_rows(rows)
        """Row → characters of leading lines that it has in common with many."""

    @property
    def kind(self) -> tuple[str, str]:
        """Which texts these are."""
        return self._of, "whole" if self._whole else "request"

    def alone(self, some: Ints) -> list[Compared]:
        """Texts of some rows (m,), parted as follows from each row itself."""
        rows = self._rows.at(some)
        if self._whole:
            return [Compared("", text) for text in rows.texts(self._of)]
        parts = rows.pool.text_parts(rows.ids.tolist())
        return [
            part_text(compared_text(self._of, each.prompt, each.response), each.request_at)
            for each in parts
        ]

    def parted(self, some: Ints) -> list[Compared]:
        """The same, without the leading lines that many rows share."""
        return [
            part_text(each.whole, max(len(each.preamble), self.shared.get(row, 0)))
            for row, each in zip(some.tolist(), self.alone(some), strict=True)
        ]


def part_text(whole: str, start: int) -> Compared:
    """Part a text after so many characters."""
    return Compared(whole[:start], whole[start:])


def shared_by_rows(rows: Candidates) -> dict[int, int]:
    """Row → characters of leading lines that many prompts have; rows without any are left out."""
    places = np.flatnonzero(np.isin(rows.indices, rows.pool.crowded(OPENING, MANY)))
    if not places.size:
        return {}
    shared = shared_lines(rows.at(places).texts("prompt")).tolist()
    return {row: length for row, length in zip(places.tolist(), shared, strict=True) if length}


def eclipsed_rows(rows: Candidates, of: ComparedField, rule: PreambleRule) -> Ints:
    """Rows of whose text most is a preamble, where another row begins like them.

    An embedding of such a text says more of the preamble than of the row.
    """
    if rule == "compare" or of == "response":
        return np.empty(0, dtype=np.int64)
    places = np.flatnonzero(np.isin(rows.indices, rows.pool.alike_at_first(ALIKE)))
    parted = RowTexts(rows, "both" if of == "hidden" or of == "weighted" else of, rule).parted(
        places
    )
    mostly = np.array([len(each.preamble) > len(each.text) for each in parted], dtype=bool)
    eclipsed: Ints = places[mostly]
    return eclipsed


def say_eclipsed(count: int) -> tuple[str, ...]:
    """What a step says of rows that it did not compare."""
    if not count:
        return ()
    return (
        f"semantic: {count} rows were not compared, and stay: most of their text is system text, "
        "earlier turns or leading lines, and others begin alike. `text: response` compares what "
        "they are trained on, `preamble: compare` all of it",
    )


PREAMBLE: PreambleRule = Field(
    default="leave_out",
    description="leave_out: system text, earlier turns and leading lines that 8 rows or more have "
    "are no evidence of a copy; compare: they are.",
)
"""The setting of every step that compares texts which a preamble can make alike."""
