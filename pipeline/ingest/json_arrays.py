"""Elements of a JSON array, cut out of a stream without parsing the whole of it.

The cut is made at commas outside strings and brackets, so an element that is not JSON costs itself
only, as long as its quotes and brackets pair. Where they do not, nobody can say where it ends: the
rest of the array is one element then.
"""

import re
from collections.abc import Iterable, Iterator

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.rows import OversizedRow, UnreadableSourceError

# What cannot end an element: complete strings and plain characters. Behind it stands a bracket, a
# comma (outside brackets only), a quote whose string runs past the block, or the block's end.
_NESTED = re.compile(rb'[^"\[\]{}]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{}]*+)*+', re.DOTALL)
_OUTSIDE = re.compile(rb'[^"\[\]{},]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{},]*+)*+', re.DOTALL)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OPENER = {ord("]"): ord("["), ord("}"): ord("{")}
_WHITESPACE = b" \t\r\n"


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
    scanner = _ElementScanner()
    begun = OversizedRow(limit)
    opened = some = False
    try:
        for block in blocks:
            start = 0 if opened else _array_start(block)
            opened = opened or start > 0
            while opened and not scanner.closed:
                end = scanner.find_end(block, start)
                if end is None:
                    break
                element = _finish(begun, block[start:end])
                if element or some or not scanner.closed:  # not of [], which has no element
                    yield element
                some, begun, start = True, OversizedRow(limit), end + 1
            begun.add(block[start:] if opened else b"")
    except BrokenStreamError as error:
        error.rest = bytes(begun.kept)
        raise
    rest = bytes(begun.kept).strip(_WHITESPACE)
    if opened and (rest or not scanner.closed):
        fault = (
            "goes on after the end of its array" if scanner.closed else "has no end of its array"
        )
        raise BrokenStreamError(fault, rest)


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
    if not begun.length:
        return piece.strip(_WHITESPACE)
    begun.add(piece)
    return begun if begun.is_over else bytes(begun.kept).strip(_WHITESPACE)
