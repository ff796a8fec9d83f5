"""JSON Lines, told from JSON of another layout: one array, or an object over several lines."""

import re
from collections.abc import Iterator

import orjson

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.rows import Line, UnreadableSourceError

_ARRAY_OF_OBJECTS = re.compile(rb"\s*\[\s*\{")
_INDENTED_OBJECT = re.compile(rb'\s*\{\n\s+"')


def require_json_lines(lines: Iterator[Line]) -> Iterator[Line]:
    """Give the lines on, unless the first two show that they are not a row each.

    Raises:
        UnreadableSourceError: if they begin one array, or an object over several lines; the message
            says what to do.
        BrokenStreamError: from `lines`, after all that could be had.
    """
    seen: list[Line] = []
    filled: list[bytes] = []
    try:
        for line in lines:
            seen.append(line)
            text = line.rstrip() if isinstance(line, bytes) else bytes(line.kept[:1000])
            filled += [text] if text else []
            if len(filled) == 2:
                break
    except BrokenStreamError:
        yield from seen
        raise
    _check_layout(*filled)
    yield from seen
    yield from lines


def _check_layout(first: bytes = b"", second: bytes = b"") -> None:
    both = first + b"\n" + second
    if _ARRAY_OF_OBJECTS.match(both) and (not second or _breaks_off(first)):
        raise UnreadableSourceError(
            "a .jsonl source must have one object in each line, and this one is a JSON array: "
            "name its format json"
        )
    if _INDENTED_OBJECT.match(both) and _breaks_off(both):
        raise UnreadableSourceError(
            "a .jsonl source must have one object in each line, and here the first goes on in the "
            "next line: write each into one, as with `jq -c .`"
        )


def _breaks_off(text: bytes) -> bool:
    """Whether a text is the beginning of JSON, and no more."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return error.pos >= len(error.doc)
    return False
