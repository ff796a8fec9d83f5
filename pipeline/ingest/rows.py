"""What the readers give: a row, or a row that could not be read, with its bytes or their beginning.

Every physical row of a source becomes exactly one of the two, so that the sums come out.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from pipeline.ingest.strict_json import InvalidJsonError, JsonReason, parse_json

ReadReason: TypeAlias = (
    JsonReason
    | Literal["not_an_object", "too_large", "wrong_field_count", "invalid_csv", "broken_file"]
)
"""Why a physical row could not be read; `broken_file` where the file itself breaks off."""

ShapeReason: TypeAlias = Literal[
    "ambiguous_shape",
    "bad_chatml",
    "bad_tool_arguments",
    "bad_tool_calls",
    "bad_tools",
    "conflicting_fields",
    "different_prompts",
    "empty_prompt",
    "empty_response",
    "missing_key",
    "no_messages",
    "no_trained_turn",
    "odd_role_order",
    "plain_text",
    "same_answers",
    "unclear_mark",
    "unknown_role",
    "unknown_shape",
    "unread_content",
    "unsupported_content",
    "wrong_type",
]
"""Why a row that was read is not a conversation; docs/row-shapes.md has a line for each."""

MAX_ROW_BYTES = 64 * 2**20
"""Of a row that is parsed, where no recipe says otherwise."""

KEPT_BYTES = 2**16
"""Of a row for the quarantine: many long ones must not fill the memory that reads them back."""


class RawRow(NamedTuple):
    """One row of a source, parsed and not yet understood."""

    position: int  # 1-based: the line of a JSONL file, the number of the row or element elsewhere
    value: dict[str, Any]
    raw: bytes


class UnreadableRow(NamedTuple):
    """One row of a source that could not be read."""

    position: int
    reason: ReadReason | ShapeReason
    detail: str
    raw: bytes


class UnreadableSourceError(ValueError):
    """A whole source cannot be read: no such file, an unknown format, a bad header."""

    exit_code: ClassVar[int] = 3


class UnreadableRowError(ValueError):
    """A row is not a conversation in one of the named shapes.

    Attributes:
        reason: which rule it breaks.
        detail: where and how, without the row's text.
    """

    def __init__(self, reason: ShapeReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class OversizedRow:
    """A row that is taken in piece by piece; of one over the limit only its beginning is kept."""

    limit: int
    kept: bytearray = field(default_factory=bytearray)
    length: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, piece: bytes) -> None:
        """Take in the next piece of the row."""
        self.length += len(piece)
        self._digest.update(piece)
        if not self.is_over:
            self.kept += piece
        else:
            self.kept += piece[: max(0, KEPT_BYTES - len(self.kept))]
            del self.kept[KEPT_BYTES:]

    @property
    def is_over(self) -> bool:
        """Whether it has more bytes than are parsed."""
        return self.length > self.limit

    def unreadable(self, position: int) -> UnreadableRow:
        """The row for the quarantine; the detail has its length, and a hash where it is cut."""
        detail = f"the row has {self.length} bytes, more than {self.limit}"
        if self.length > len(self.kept):
            detail += _cut(len(self.kept), self._digest.hexdigest())
        return UnreadableRow(position, "too_large", detail, bytes(self.kept))


Line: TypeAlias = bytes | OversizedRow
"""A line without its end."""


def _cut(kept: int, digest: str) -> str:
    return f"; its first {kept} are kept, sha256 of all of it {digest}"


def cut_raw(row: UnreadableRow) -> UnreadableRow:
    """The row with as much of its bytes as the quarantine keeps; says so where that is not all."""
    if len(row.raw) <= KEPT_BYTES:
        return row
    detail = row.detail + _cut(KEPT_BYTES, hashlib.sha256(row.raw).hexdigest())
    return row._replace(detail=detail, raw=row.raw[:KEPT_BYTES])


def too_large(position: int, raw: bytes, limit: int) -> UnreadableRow:
    """A row that is whole in memory and over the limit."""
    row = OversizedRow(limit)
    row.add(raw)
    return row.unreadable(position)


def read_json_row(position: int, raw: bytes, limit: int) -> RawRow | UnreadableRow:
    """Parse one JSON row, white space round it allowed, of at most `limit` bytes."""
    if len(raw) > limit:
        return too_large(position, raw, limit)
    try:
        value = parse_json(raw)
    except InvalidJsonError as error:
        return UnreadableRow(position, error.reason, error.detail, raw)
    if type(value) is not dict:
        detail = f"a row must be a JSON object, this one is of type {type(value).__name__}"
        return UnreadableRow(position, "not_an_object", detail, raw)
    return RawRow(position, value, raw)
