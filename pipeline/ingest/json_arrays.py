"""Elements of a JSON array, cut out of a stream without parsing the whole of it.

The cut is made at commas outside strings and brackets, so an element that is not JSON costs itself
only, as long as its quotes and brackets pair. Where they do not, it takes in those behind it. It is
cut then where the next one seems to begin: at an object whose first key is that of the first. There
it also goes on behind a bracket that was not the array's end, and where a comma is missing. Such a
bracket or gap is an element of its own that cannot be read, so that it is seen.
"""

import json
import re
from collections.abc import Generator, Iterable, Iterator, Sequence

import orjson

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.rows import OversizedRow, UnreadableSourceError

# What cannot end an element: complete strings and plain characters. Behind it stands a bracket, a
# comma (outside brackets only), a quote whose string runs past the block, or the block's end.
_NESTED = re.compile(rb'[^"\[\]{}]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{}]*+)*+', re.DOTALL)
_OUTSIDE = re.compile(rb'[^"\[\]{},]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{},]*+)*+', re.DOTALL)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_FIRST_KEY = re.compile(rb'\{\s*+"(?:[^"\\]++|\\.)*+"\s*+:', re.DOTALL)
_OPENER = {ord("]"): ord("["), ord("}"): ord("{")}
_GAP = re.compile(rb"\}\s*+\{")
_DECODER = json.JSONDecoder()
_WHITESPACE = b" \t\r\n"
_MOST_BETWEEN = 1 << 16  # bytes behind the array's end in which the next element is looked for


class _ElementScanner:
    """Finds where elements end; remembers between blocks what is open."""

    def __init__(self) -> None:
        self.closed = False  # the bracket that ends the array was seen
        self._open: list[int] = []  # brackets within the element, the outermost first
        self._in_string = False
        self._escaped = False  # the block ended behind a backslash within a string

    def find_end(self, block: bytes, start: int) -> int | None:
        """Index of the comma or bracket that ends the element; None where it is not in the block.

        After None, the next call must be with the next block.
        """
        position = start
        while (position := self._skip_string(block, position)) < len(block):
            skipped = (_NESTED if self._open else _OUTSIDE).match(block, position)
            position = skipped.end() if skipped else position
            if position == len(block):
                return None
            if self._ends_element(block[position]):
                return position
            position += 1
        return None

    def _skip_string(self, block: bytes, position: int) -> int:
        """Go to the end of a string that runs over from the block before, or past this one."""
        if not self._in_string:
            return position
        skipped = _STRING.match(block, position + self._escaped)  # True is 1: what is escaped
        end = skipped.end() if skipped else position
        # The pattern stops at a quote, at the block's end, or at a backslash that is its last byte.
        self._escaped = block[end : end + 1] == b"\\"
        self._in_string = block[end : end + 1] != b'"'
        return len(block) if self._in_string else end + 1

    def _ends_element(self, character: int) -> bool:
        if character == ord('"'):
            self._in_string = True
        elif character == ord(","):  # _NESTED passes over those within brackets
            return True
        elif character not in _OPENER:
            self._open.append(character)
        elif _OPENER[character] in self._open:
            # A bracket left open is closed with the one around it: {"a": [1} is over.
            while self._open.pop() != _OPENER[character]:
                pass
        elif not self._open:
            self.closed = character == ord("]")
        return self.closed


def read_elements(blocks: Iterable[bytes], limit: int) -> Iterator[bytes | OversizedRow]:
    """Give the text of each element of the array, in order, without the whitespace round it.

    Args:
        blocks: the text in pieces of any size; nothing but whitespace is no array and no error.
        limit: bytes above which an element may come as an OversizedRow.

    Raises:
        UnreadableSourceError: if the text does not begin with "[".
        BrokenStreamError: if the text ends before the array does or goes on after it, and from
            `blocks`; `rest` has what could not be placed.
    """
    array = _Array(limit)
    try:
        for block in blocks:
            yield from array.read(block)
        while array.take_back():
            yield from array.read(b"")
        yield from array.read_last()
    except BrokenStreamError as error:
        error.rest = bytes(array.begun.kept)
        raise
    array.require_end()


class _Array:
    """The elements of one array, from block to block."""

    def __init__(self, limit: int) -> None:
        self.begun = OversizedRow(limit)  # the element that the last block did not end
        self._limit = limit
        self._scanner = _ElementScanner()
        self._opened = False
        self._some = False
        self._again = b""  # what an element without an end took in, from its own beginning on
        self._start: re.Pattern[bytes] | None = None  # how an element begins, and what is before
        self._next: re.Pattern[bytes] | None = None  # what may stand behind a stray bracket
        self._gap: re.Pattern[str] | None = None  # what stands where a comma is missing

    def read(self, block: bytes) -> Iterator[bytes | OversizedRow]:
        """Give the elements that end in the next block."""
        if self._again:
            broken, block = self._split(self._again)
            self._again, start = b"", 0
            yield broken
        else:
            block, start = self._begin(block)
        while self._opened:
            went_on = yield from self._go_on(block, start)
            if went_on is None:
                break
            start = went_on
            end = self._scanner.find_end(block, start)
            if end is None:
                break
            before, element, rest = self._take_apart(_finish(self.begun, block[start:end]))
            yield from before
            if rest is not None:
                block, end, self._scanner = rest + block[end:], -1, _ElementScanner()
            if element or self._some or not self._scanner.closed:  # not of [], which has no element
                yield element
            self._some, self.begun, start = True, OversizedRow(self._limit), end + 1
        if self._opened:
            self.begun.add(block[start:])

    def _begin(self, block: bytes) -> tuple[bytes, int]:
        """The block with what is to be looked at again, and where its elements begin."""
        start = 0 if self._opened else _array_start(block)
        self._opened = self._opened or start > 0
        if self._scanner.closed and self.begun.length < _MOST_BETWEEN:
            block, self.begun = bytes(self.begun.kept) + block, OversizedRow(self._limit)
        return block, start

    def _go_on(self, block: bytes, start: int) -> Generator[bytes, None, int | None]:
        """Give the bracket that was not the end; return where to go on, None where it was."""
        if not self._scanner.closed:
            return start
        between = self._next.match(block, start) if self._next else None
        if not between:
            return None
        yield (b"]" + between[0]).strip(_WHITESPACE + b",")
        self._scanner = _ElementScanner()
        return between.end()

    def _take_apart(
        self, element: bytes | OversizedRow
    ) -> tuple[Sequence[bytes], bytes | OversizedRow, bytes | None]:
        """What stood before an element without a comma, the element, and what it took in."""
        if isinstance(element, OversizedRow):
            return (), element, None
        self._learn(element)
        *before, element = self._cut_gaps(element.strip(_WHITESPACE))
        if not self._holds_others(element):
            return before, element, None
        return before, *self._split(element)

    def _cut_gaps(self, element: bytes) -> list[bytes]:
        """The elements that one is, as no comma stands between; b"" in the place of each comma."""
        if self._gap is None or not _GAP.search(element) or is_json(element):
            return [element]
        text, start, found = element.decode(errors="surrogateescape"), 0, []
        while True:
            try:
                _, end = _DECODER.raw_decode(text, start)
            except (ValueError, RecursionError):
                break
            if not (gap := self._gap.match(text, end)):
                break
            found += [text[start:end].encode(errors="surrogateescape"), b""]
            start = gap.end()
        return [*found, text[start:].encode(errors="surrogateescape")]

    def take_back(self) -> bool:
        """Whether the element that has no end took in others: they are read next."""
        rest = bytes(self.begun.kept).strip(_WHITESPACE)
        if self._scanner.closed or self.begun.is_over or not self._holds_others(rest):
            return False
        self._again, self.begun = rest, OversizedRow(self._limit)
        self._scanner = _ElementScanner()
        return True

    def read_last(self) -> Iterator[bytes]:
        """Give the last element where it is whole, and only the bracket behind it is missing."""
        last = bytes(self.begun.kept).strip(_WHITESPACE)
        if self._scanner.closed or self.begun.is_over or not last.startswith(b"{"):
            return
        *before, last = self._cut_gaps(last)
        yield from before
        self.begun = OversizedRow(self._limit)
        if is_json(last):
            yield last
        else:
            self.begun.add(last)

    def require_end(self) -> None:
        """Raise BrokenStreamError unless the array has ended, and nothing comes behind it."""
        rest, closed = bytes(self.begun.kept).strip(_WHITESPACE), self._scanner.closed
        if self._opened and (rest or not closed):
            fault = "goes on after the end of its array" if closed else "has no end of its array"
            raise BrokenStreamError(fault, rest)

    def _learn(self, element: bytes) -> None:
        """Learn from the first two elements how one begins, and from the second what is between."""
        if self._start is not None:
            return
        text = element.lstrip(_WHITESPACE)
        space = element[: len(element) - len(text)]
        if not (key := _FIRST_KEY.match(text)):
            return
        begins = b"(?=" + re.escape(key[0]) + b")"
        if self._some:
            self._start = re.compile(b"," + re.escape(space) + begins)
        self._next = re.compile(rb"[\s,\[\]}]*+" + begins)
        self._gap = re.compile((rb"\s*+" + begins).decode(errors="surrogateescape"))

    def _holds_others(self, element: bytes) -> bool:
        """Whether an element is not JSON, and within it another begins."""
        return (
            self._start is not None
            and self._start.search(element) is not None
            and not is_json(element)
        )

    def _split(self, element: bytes) -> tuple[bytes, bytes]:
        """An element that took in others, and these."""
        assert self._start is not None
        found = self._start.search(element)
        assert found is not None
        return element[: found.start()].rstrip(_WHITESPACE), element[found.end() :]


def is_json(element: bytes) -> bool:
    """Whether a text is JSON."""
    try:
        orjson.loads(element)
    except orjson.JSONDecodeError:
        return False
    return True


def _array_start(block: bytes) -> int:
    """Index after the opening bracket; 0 for a block of whitespace."""
    text = block.lstrip(_WHITESPACE)
    if text and not text.startswith(b"["):
        raise UnreadableSourceError(
            "a .json source must be one array of objects, and this one does not begin with '['. "
            "If it has one object per line, name its format jsonl; if its rows stand in a list "
            "under a key, write that list to a file of its own"
        )
    return len(block) - len(text) + 1 if text else 0


def _finish(begun: OversizedRow, piece: bytes) -> bytes | OversizedRow:
    """An element with the whitespace round it."""
    if not begun.length:
        return piece
    begun.add(piece)
    return begun if begun.is_over else bytes(begun.kept)
