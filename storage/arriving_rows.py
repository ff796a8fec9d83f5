"""Rows on their way into the tables: columns that grow row by row, and are written together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from storage.conversations import Conversation, prompt_text, response_text
from storage.database import Connection, transaction
from storage.long_rows import LONG_BYTES, write_long_examples
from storage.rows import TEXT, as_table, write_table

EXAMPLE_COLUMNS = {
    "example_id": TEXT,
    "prompt_id": TEXT,
    "messages": TEXT,
    "tools": TEXT,
    "response_at": pa.int32(),
    "prompt": TEXT,
    "response": TEXT,
    "origin": TEXT,
    "trained_at": pa.list_(pa.int32()),
}

OCCURRENCE_COLUMNS = {
    "source_id": TEXT,
    "position": pa.int64(),
    "example_id": TEXT,
    "shape": TEXT,
    "rejected": pa.bool_(),
}

QUARANTINE_COLUMNS = {
    "source_id": TEXT,
    "position": pa.int64(),
    "reason": TEXT,
    "detail": TEXT,
    "raw": pa.binary(),
}

WRITE_EXAMPLES = """
insert into short_examples
select * from examples_read where example_id not in (select example_id from examples)
"""

WRITE_OCCURRENCES = "insert into occurrences select * from occurrences_read"

WRITE_QUARANTINE = "insert into quarantine select * from rows_refused"


class ReadRow(NamedTuple):
    """A row that became a conversation."""

    position: int
    conversation: Conversation
    shape: str
    rejected: Conversation | None = None
    """Of a pair, the one with the rejected answer; the other is the chosen one."""


class QuarantinedRow(NamedTuple):
    """A row that could not be read."""

    position: int
    reason: str
    detail: str
    raw: bytes


@dataclass(slots=True)
class ArrivingExamples:
    """Conversations as rows of `examples`, each content once.

    Of several that differ in the order of keys alone the first stays, here and in the table: what
    was measured of an example is true of the text that is trained.
    """

    origin: str
    bytes: int = 0
    """Of the messages so far."""
    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """example_id → its columns."""

    def add(self, conversation: Conversation) -> str:
        """Take in a conversation; return its example_id."""
        example_id, prompt_id, messages, tools = conversation.encode()
        if example_id in self.rows:
            return example_id
        trained_at = conversation.trained_at
        self.bytes += len(messages)
        self.rows[example_id] = (
            example_id,
            prompt_id,
            messages.decode(),  # a copy of its own size: what orjson gives takes 4 KiB and more
            tools.decode(),
            conversation.response_at,
            prompt_text(conversation),
            response_text(conversation),
            self.origin,
            trained_at if len(trained_at) > 1 else None,
        )
        return example_id

    def write(self, con: Connection) -> None:
        """Store those that the workspace does not have."""
        long = [row for row in self.rows.values() if len(row[2]) >= LONG_BYTES]
        short = [row for row in self.rows.values() if len(row[2]) < LONG_BYTES]
        table = as_table(EXAMPLE_COLUMNS, short)
        write_table(con, "examples_read", table, WRITE_EXAMPLES)
        if long:
            write_long_examples(con, EXAMPLE_COLUMNS, long)


@dataclass(slots=True)
class ArrivingRows:
    """Rows of one source that are not written yet."""

    source_id: str
    _examples: ArrivingExamples = field(default_factory=lambda: ArrivingExamples("source"))
    _occurrences: list[tuple[Any, ...]] = field(default_factory=list)
    _quarantine: list[tuple[Any, ...]] = field(default_factory=list)
    _raw_bytes: int = 0
    _read: int = 0

    def __len__(self) -> int:
        return self._read + len(self._quarantine)

    @property
    def bytes(self) -> int:
        """How much text there is, once; what it takes in memory is a small multiple of it."""
        return self._examples.bytes + self._raw_bytes

    def add(self, row: ReadRow | QuarantinedRow) -> None:
        """Take in the next row."""
        if isinstance(row, ReadRow):
            self._read += 1
            self._add(row, row.conversation)
            if row.rejected is not None:
                self._add(row, row.rejected, rejected=True)
        else:
            self._raw_bytes += len(row.raw)
            refused = (self.source_id, row.position, row.reason, row.detail, row.raw)
            self._quarantine.append(refused)

    def _add(self, row: ReadRow, said: Conversation, *, rejected: bool = False) -> None:
        example_id = self._examples.add(said)
        place = (self.source_id, row.position)
        self._occurrences.append((*place, example_id, row.shape, rejected))

    def write(self, con: Connection) -> None:
        """Store the rows in one transaction."""
        with transaction(con):
            if self._occurrences:
                self._examples.write(con)
                occurrences = as_table(OCCURRENCE_COLUMNS, self._occurrences)
                write_table(con, "occurrences_read", occurrences, WRITE_OCCURRENCES)
            if self._quarantine:
                refused = as_table(QUARANTINE_COLUMNS, self._quarantine)
                write_table(con, "rows_refused", refused, WRITE_QUARANTINE)


def write_rows(
    con: Connection, source_id: str, read: Sequence[ReadRow], quarantined: Sequence[QuarantinedRow]
) -> None:
    """Store rows of one source in one transaction."""
    arriving = ArrivingRows(source_id)
    for row in read:
        arriving.add(row)
    for refused in quarantined:
        arriving.add(refused)
    arriving.write(con)


def write_examples(
    con: Connection, conversations: Sequence[Conversation], origin: str
) -> list[str]:
    """Store conversations under their content hashes; return the hashes in the same order."""
    arriving = ArrivingExamples(origin)
    ids = [arriving.add(conversation) for conversation in conversations]
    arriving.write(con)
    return ids
