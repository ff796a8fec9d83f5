"""Rows of a CSV file, as Python's csv module reads them in its strict mode.

The first row names the columns, and every value is a text. What separates them is told from that
row: the comma, unless by the semicolon, tab or bar more of the names are known or, where none is,
only by that there are several; or a line `sep=;` before it says so. A quote that is not closed
takes in the lines behind it, up to the next quote or the end of the file. Only the line it stands
in is given up, and reading goes on behind it: where the end is never found, and where what was
taken in is no row as a whole while most of its lines are rows by themselves. A text of several
lines whose quotes are in order is never cut.
"""

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.rows import (
    Line,
    OversizedRow,
    RawRow,
    UnreadableRow,
    UnreadableSourceError,
    too_large,
)
from pipeline.ingest.shapes import CONTENT_KEYS
from pipeline.ingest.strict_json import not_utf8

if TYPE_CHECKING:
    from _csv import Reader

MANY_LINES = 50
"""A row of more is told: it may be meant, or a quote that is not closed may have met another."""

SEPARATORS = (",", ";", "\t", "|")

_STATED = re.compile(rb"sep=(.)\r?", re.IGNORECASE)  # as spreadsheets write it before the header


class TallRow(NamedTuple):
    """A row of many lines."""

    line: int
    """Its first in the file, from 1."""
    lines: int


class _Feed:
    """Lines as text for csv.reader, and what it was given since the last row began."""

    def __init__(self, lines: Iterator[Line], limit: int, skipped: int) -> None:
        self.line = skipped + 1  # where the row begins
        self._lines = lines
        self._again: deque[Line] = deque()
        self._limit = limit
        self._size = 0
        self._given: list[Line] = []
        self.unended = False  # the row was stopped because its end could not be found

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        """The next line; csv.Error where the row has grown over the limit."""
        self.unended = True  # also where the lines end here, within quotes
        line = self._again.popleft() if self._again else next(self._lines)
        self._given.append(line)
        self._size += line.length if isinstance(line, OversizedRow) else len(line) + 1  # its "\n"
        if isinstance(line, OversizedRow) or self._size > self._limit:
            raise csv.Error("no end of the row within the limit")
        self.unended = False
        # Bad bytes must not change where rows are cut; they are looked for in the whole row.
        return line.decode(errors="surrogateescape") + "\n"

    def has_swallowed(self, width: int, separator: str) -> bool:
        """Whether most lines within the row are rows of that many columns themselves.

        The last has the quote that ended it, and is asked only where it is the only one.
        """
        lines = self._given[1:-1] or self._given[1:]
        rows = sum(_columns(line, separator) == width for line in lines)
        return width > 1 and 2 * rows > len(lines)

    @property
    def lines(self) -> int:
        """Of the row."""
        return len(self._given)

    def begin_row(self) -> None:
        """Forget what was given."""
        self.line += self.lines
        self._given, self._size = [], 0

    def take(self) -> bytes | OversizedRow:
        """What was given; of a row without an end its first line, the others come again."""
        if self.unended and len(self._given) > 1:
            self._again.extendleft(reversed(self._given[1:]))  # extendleft turns the order round
            del self._given[1:]
        if self._given and isinstance(self._given[0], OversizedRow):
            return self._given[0]
        return b"\n".join(line for line in self._given if isinstance(line, bytes))


def read_csv_rows(
    lines: Iterator[Line], limit: int, tall: list[TallRow] | None = None
) -> Iterator[RawRow | UnreadableRow]:
    """Read rows; the position counts them from 1, the header apart.

    Args:
        lines: the lines of the file without their ends.
        limit: bytes above which a row is not parsed.
        tall: is given the rows of more than MANY_LINES lines, as they are read.

    Raises:
        UnreadableSourceError: if the header cannot be read or names a column twice.
        BrokenStreamError: from `lines`; `rest` has the row that was being read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), limit))  # which is ours to check
    separator, skipped, lines = _find_separator(lines)
    feed = _Feed(lines, limit, skipped)
    rows = csv.reader(feed, strict=True, delimiter=separator)
    header: list[str] | None = None
    position = 0
    while (fields := _next_fields(rows, feed)) is not None:
        if header is not None and _is_no_row(fields, len(header)):
            feed.unended = feed.unended or feed.has_swallowed(len(header), separator)
        if feed.unended and not isinstance(fields, csv.Error):
            fields = csv.Error("a quote is not closed, and its row goes on over other rows")
        raw = feed.take()
        if fields == []:  # a blank line
            continue
        if header is None:
            header = _checked_header(fields, raw)
            continue
        position += 1
        row = _row(position, header, fields, raw, limit)
        if tall is not None and feed.lines > MANY_LINES and isinstance(row, RawRow):
            tall.append(TallRow(feed.line, feed.lines))
        yield row


def _find_separator(lines: Iterator[Line]) -> tuple[str, int, Iterator[Line]]:
    """What separates the columns, how many lines come before the header, and those from it on."""
    before, first = next(
        ((n, line) for n, line in enumerate(lines) if not isinstance(line, bytes) or line.strip()),
        (0, b""),
    )
    if isinstance(first, OversizedRow):
        return SEPARATORS[0], before, chain([first], lines)
    if stated := _STATED.fullmatch(first):
        return stated[1].decode(errors="replace"), before + 1, lines
    header = first.decode(errors="replace")

    def fit(separator: str) -> tuple[int, bool]:
        names = next(csv.reader([header], delimiter=separator))
        return len(CONTENT_KEYS.intersection(names)), len(names) > 1

    return max(SEPARATORS, key=fit), before, chain([first], lines)  # the first of equals


def _is_no_row(fields: list[str] | csv.Error, width: int) -> bool:
    return isinstance(fields, csv.Error) or len(fields) not in (0, width)


def _columns(line: Line, separator: str) -> int:
    """How many columns a line has by itself; 0 where it is no row."""
    text = "" if isinstance(line, OversizedRow) else line.decode(errors="replace")
    try:
        return len(next(csv.reader([text], strict=True, delimiter=separator), ()))
    except csv.Error:
        return 0


def _next_fields(rows: "Reader", feed: _Feed) -> list[str] | csv.Error | None:
    """The next row; [] for a blank line, the error of a row that is not CSV, None at the end."""
    feed.begin_row()
    try:
        return next(rows, None)
    except csv.Error as error:
        return error
    except BrokenStreamError as error:
        begun = feed.take()
        lines = [begun.kept if isinstance(begun, OversizedRow) else begun, error.rest]
        error.rest = b"\n".join(line for line in lines if line)
        raise


def _checked_header(fields: list[str] | csv.Error, raw: bytes | OversizedRow) -> list[str]:
    if isinstance(fields, csv.Error) or isinstance(raw, OversizedRow):
        raise UnreadableSourceError(f"the header of the CSV file is not CSV: {fields}")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise UnreadableSourceError(f"the header of the CSV file: {not_utf8(error)}") from None
    if b"\0" in raw:
        detail = "the header of the CSV file holds NUL: UTF-16 must be converted to UTF-8 first"
        raise UnreadableSourceError(detail)
    twice = sorted(name for name, times in Counter(fields).items() if times > 1)
    if twice:
        raise UnreadableSourceError(f"the CSV file names columns twice: {', '.join(twice)}")
    return fields


def _row(
    position: int,
    header: list[str],
    fields: list[str] | csv.Error,
    raw: bytes | OversizedRow,
    limit: int,
) -> RawRow | UnreadableRow:
    if isinstance(raw, OversizedRow):
        return raw.unreadable(position)
    if len(raw) > limit:
        return too_large(position, raw, limit)
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return UnreadableRow(position, "invalid_utf8", not_utf8(error), raw)
    if b"\0" in raw:
        return UnreadableRow(position, "nul_character", f"NUL at byte {raw.index(0)}", raw)
    if isinstance(fields, csv.Error):
        return UnreadableRow(position, "invalid_csv", str(fields), raw)
    if len(fields) != len(header):
        detail = f"the header has {len(header)} columns, the row {len(fields)}"
        return UnreadableRow(position, "wrong_field_count", detail, raw)
    return RawRow(position, dict(zip(header, fields, strict=True)), raw)
