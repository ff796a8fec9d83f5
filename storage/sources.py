"""The `sources`, `occurrences` and `quarantine` tables: what was read, from where, as what."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import pyarrow as pa

from storage.conversations import (
    Conversation,
    Turns,
    messages_json,
    prompt_text,
    response_text,
    tools_json,
)
from storage.database import Connection, fetch_count, transaction
from storage.rows import fetch_counts, fetch_texts, write_table

SOURCE_PATHS = """
select source_id, path from sources where source_id = any($source_ids) order by source_id
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is about to be read."""

    source_id: str
    path: str
    format: str | None
    shape: str | None
    license: str
    content_hash: str
    bytes: int
    turns: Turns = "last"


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A row that became a conversation."""

    position: int
    conversation: Conversation
    shape: str


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that could not be read, kept whole."""

    position: int
    reason: str
    detail: str
    raw: bytes


ADD_SOURCE = """
insert into sources (source_id, path, format, shape, license, content_hash, bytes, turns)
values ($source_id, $path, $format, $shape, $license, $content_hash, $bytes, $turns)
on conflict (source_id) do update set license = excluded.license
"""

IS_COMPLETE = "select count(*) from sources where source_id = $source_id and complete"

WRITE_EXAMPLES = "insert into examples select * from examples_read on conflict do nothing"

WRITE_OCCURRENCES = "insert into occurrences select * from occurrences_read on conflict do nothing"

WRITE_QUARANTINE = "insert into quarantine select * from rows_refused on conflict do nothing"

COMPLETE = """
update sources set complete = true, rows = $rows, ingested_at = now() where source_id = $source_id
"""

COUNT_SOURCE = """
select (select count(*) from occurrences where source_id = $source_id),
       (select count(*) from quarantine where source_id = $source_id)
"""

QUARANTINE_REASONS = """
select reason, count(*) from quarantine where source_id = any($source_ids)
group by reason order by reason
"""

COUNT_OCCURRENCES = "select count(*) from occurrences where source_id = any($source_ids)"

READ_SOURCE_IDS = "select source_id from sources order by source_id"

READ_QUARANTINE = """
select path, position, reason, detail from quarantine join sources using (source_id)
where source_id = any($source_ids) order by path, position
"""


def add_source(con: Connection, source: Source) -> bool:
    """Record a source; return whether all its rows were read already."""
    con.execute(ADD_SOURCE, asdict(source))
    return fetch_count(con, IS_COMPLETE, {"source_id": source.source_id}) > 0


def write_rows(
    con: Connection, source_id: str, read: Sequence[ReadRow], quarantined: Sequence[QuarantinedRow]
) -> None:
    """Store a batch of rows of one source in one transaction; what is stored already stays."""
    with transaction(con):
        if read:
            conversations = [row.conversation for row in read]
            ids = write_examples(con, conversations, origin="source")
            occurrences_read = pa.table(
                {
                    "source_id": [source_id] * len(read),
                    "position": pa.array([row.position for row in read], pa.int64()),
                    "example_id": ids,
                    "shape": [row.shape for row in read],
                }
            )
            write_table(con, "occurrences_read", occurrences_read, WRITE_OCCURRENCES)
        if quarantined:
            write_quarantine(con, source_id, quarantined)


def write_examples(
    con: Connection, conversations: Sequence[Conversation], origin: str
) -> list[str]:
    """Store conversations under their content hashes; return the hashes in the same order.

    Of several that differ in the order of keys alone the first stays, here and in the table: what
    was measured of an example is true of the text that is trained.
    """
    ids = [conversation.example_id for conversation in conversations]
    by_id: dict[str, Conversation] = {}
    for example_id, conversation in zip(ids, conversations, strict=True):
        by_id.setdefault(example_id, conversation)
    unique = list(by_id.values())
    examples_read = pa.table(
        {
            "example_id": list(by_id),
            "prompt_id": [c.prompt_id for c in unique],
            "messages": [messages_json(c.messages) for c in unique],
            "tools": [tools_json(c.tools) for c in unique],
            "response_at": pa.array([c.response_at for c in unique], pa.int32()),
            "prompt": [prompt_text(c) for c in unique],
            "response": [response_text(c) for c in unique],
            "origin": [origin] * len(unique),
            "trained_at": pa.array(
                [at if len(at := c.trained_at) > 1 else None for c in unique], pa.list_(pa.int32())
            ),
        }
    )
    write_table(con, "examples_read", examples_read, WRITE_EXAMPLES)
    return ids


def write_quarantine(con: Connection, source_id: str, rows: Sequence[QuarantinedRow]) -> None:
    """Store rows that could not be read."""
    rows_refused = pa.table(
        {
            "source_id": [source_id] * len(rows),
            "position": pa.array([row.position for row in rows], pa.int64()),
            "reason": [row.reason for row in rows],
            "detail": [row.detail for row in rows],
            "raw": pa.array([row.raw for row in rows], pa.binary()),
        }
    )
    write_table(con, "rows_refused", rows_refused, WRITE_QUARANTINE)


def complete_source(con: Connection, source_id: str, rows: int) -> None:
    """Record that all rows were read.

    Raises:
        ValueError: if rows read differ from rows stored, which would mean that rows were lost.
    """
    (counts,) = con.execute(COUNT_SOURCE, {"source_id": source_id}).fetchall()
    read, quarantined = int(counts[0]), int(counts[1])
    if read + quarantined != rows:
        raise ValueError(
            f"source {source_id}: {rows} rows were read, but {read} are stored and {quarantined} "
            "quarantined; nothing was marked complete"
        )
    con.execute(COMPLETE, {"source_id": source_id, "rows": rows})


def count_occurrences(con: Connection, source_ids: Sequence[str]) -> int:
    """Rows of these sources that became conversations."""
    return fetch_count(con, COUNT_OCCURRENCES, {"source_ids": list(source_ids)})


def count_quarantine(con: Connection, source_ids: Sequence[str]) -> dict[str, int]:
    """Rows of these sources that could not be read, by reason."""
    return fetch_counts(con, QUARANTINE_REASONS, {"source_ids": list(source_ids)})


def read_source_ids(con: Connection) -> list[str]:
    """Every source of the workspace."""
    return fetch_texts(con, READ_SOURCE_IDS)


class ListedRow(NamedTuple):
    """A row that could not be read."""

    path: str
    position: int
    reason: str
    detail: str


def list_quarantine(con: Connection, source_ids: Sequence[str]) -> list[ListedRow]:
    """Each row that could not be read."""
    rows = con.execute(READ_QUARANTINE, {"source_ids": list(source_ids)}).fetchall()
    return [ListedRow(*row) for row in rows]


def read_source_paths(con: Connection, source_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Id and path of sources, in the order of the ids."""
    rows = con.execute(SOURCE_PATHS, {"source_ids": list(source_ids)}).fetchall()
    return [(str(source_id), str(path)) for source_id, path in rows]
