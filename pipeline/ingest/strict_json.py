r"""JSON as every engine reads it: what two of them would read differently is refused by name.

orjson parses; it takes neither NaN nor bad UTF-8 nor lone surrogates. Four things it lets pass and
we do not:

    duplicate keys       orjson and Python keep the last, DuckDB and polars the first
    "\u0000" in a text   several stores and tokenizers end the text there
    integers > 64 bits   orjson gives a float without a word
    deep nesting         orjson reads 1024 levels and writes only 254
"""

import json
import re
from typing import Any, Literal, TypeAlias

import orjson

JsonReason: TypeAlias = Literal[
    "invalid_json",
    "invalid_utf8",
    "nul_character",
    "duplicate_keys",
    "number_out_of_range",
    "too_deep",
]

MAX_DEPTH = 200  # a conversation wraps tool arguments in a few levels more, and orjson writes 254

_KEY = re.compile(rb'"[ \t\r\n]*+:')
_NOT_FINITE = re.compile(r"NaN|Infinity")
_INTEGER_LIMIT = 2**63  # orjson keeps integers in [-2^63, 2^64) exact and gives floats outside


class InvalidJsonError(ValueError):
    """A text is not JSON that we accept.

    Attributes:
        reason: which rule it breaks.
        detail: where and how, without the text itself.
    """

    def __init__(self, reason: JsonReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 (JSON is any value)
    """Parse one JSON value; numbers and texts come back exactly as they stand.

    Raises:
        InvalidJsonError: if `raw` is not JSON, or means different things to different parsers.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _explain(raw, error) from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _require_shallow(value)
    # What is written back the same has lost nothing, and spaces are neither keys nor numbers: those
    # outside texts say nothing, and no two texts become one key with theirs gone that were counted
    # as one before. Files with escapes are written back otherwise, and need the closer look.
    written = orjson.dumps(value)
    if written != raw and written.translate(None, b" ") != raw.translate(None, b" "):
        _require_lossless(raw, value)
    if b"\\u0000" in raw and holds_nul(value):
        raise InvalidJsonError("nul_character", "a text holds \\u0000")
    return value


def _require_lossless(raw: bytes, value: object) -> None:
    """Raise what parsing has lost: a key that stands twice, or an integer made a float."""
    if _may_have_lost(raw, value):
        json.loads(raw, object_pairs_hook=_unique, parse_int=_exact_integer)


def _may_have_lost(raw: bytes, value: object) -> bool:
    """Whether a key may stand twice in the text, or a float may have been a long integer.

    Each key of the text matches _KEY once, and quotes inside a text may match besides. So equal
    counts prove that no key was lost.
    """
    keys = 0
    pending = [value]
    for item in pending:  # the list grows while it is walked
        kind = type(item)
        if kind is str:
            continue
        if isinstance(item, dict):
            keys += len(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, float) and not -_INTEGER_LIMIT < item < _INTEGER_LIMIT:
            return True
    return keys != len(_KEY.findall(raw))


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _require_shallow(value: object) -> None:
    level = [value]  # breadth first: Python nests fewer calls than orjson reads levels
    for _ in range(MAX_DEPTH):
        children = (child for item in level for child in _children(item))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise InvalidJsonError("too_deep", f"more than {MAX_DEPTH} levels of nesting")


def holds_nul(value: object) -> bool:
    """Whether a text anywhere in a JSON value holds NUL."""
    pending = [value]
    for item in pending:
        if isinstance(item, str) and "\0" in item:
            return True
        pending.extend(_children(item))
    return False


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidJsonError("duplicate_keys", f"the key {key[:80]!r} stands twice")
        found[key] = value
    return found


def _exact_integer(digits: str) -> int:
    if not -_INTEGER_LIMIT <= int(digits) < 2 * _INTEGER_LIMIT:  # unsigned ones reach 2^64
        detail = f"an integer of {len(digits)} digits does not fit 64 bits"
        raise InvalidJsonError("number_out_of_range", detail)
    return int(digits)


def not_utf8(fault: UnicodeDecodeError) -> str:
    """What is wrong with bytes that are not UTF-8, and what is to be done."""
    return (
        f"{fault.reason} at byte {fault.start}: not UTF-8; a text in another encoding, as "
        "Windows-1252, must be converted first"
    )


def _explain(raw: bytes, error: orjson.JSONDecodeError) -> InvalidJsonError:
    """Name what orjson met; its own message calls several different faults by one name."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as fault:
        return InvalidJsonError("invalid_utf8", not_utf8(fault))
    if "\0" in text:
        return InvalidJsonError("nul_character", f"NUL at character {text.index(chr(0))}")
    where = f"{error.msg.partition(': line')[0]}, at character {error.pos}"
    if where.startswith("number is infinity"):
        return InvalidJsonError("number_out_of_range", where)
    if where.startswith("depth limit"):
        return InvalidJsonError("too_deep", where)
    if number := _NOT_FINITE.match(text, error.pos):  # of -Infinity, it stops behind the minus
        where = f"{number.group()} is not JSON, at character {error.pos}"
    elif "surrogate" in where:
        where = f"a lone surrogate: {where}"
    return InvalidJsonError("invalid_json", where)
