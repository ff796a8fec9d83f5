"""Snapshots: what a query gave, as a JSONL file of the workspace, so that it can be read again.

A table changes; a source does not. So a query becomes a source by its answer: the same rows in the
same order are the same source, and tomorrow's are another one, beside today's.
"""

import os
from decimal import Decimal
from pathlib import Path

import orjson

from pipeline.ingest.readers import source_fingerprint
from pipeline.ingest.rows import UnreadableSourceError
from storage.conversations import content_hash
from storage.table_queries import TableQueryError, read_table_query
from storage.workspace import Workspace


def snapshot_query(workspace: Workspace, database: str, query: str) -> Path:
    """Ask a database and keep its answer, once for each answer.

    Args:
        workspace: whose `snapshots/` keeps it.
        database: see storage.table_queries.read_table_query.
        query: SQL; with an `order by`, or the database may give the same rows as another source.

    Returns:
        The JSONL file: one object for each row, its keys the columns.

    Raises:
        UnreadableSourceError: if the database cannot be asked.
    """
    folder = workspace.snapshots / content_hash([database, query])[:12]
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".answer.{os.getpid()}.partial"
    try:
        with partial.open("wb") as file:
            for batch in read_table_query(database, query):
                file.writelines(as_line(row) for row in batch)
    except TableQueryError as error:
        partial.unlink(missing_ok=True)
        raise UnreadableSourceError(str(error)) from None
    # The same answer has the same name: the file in its place is replaced by its like.
    return partial.rename(folder / f"{source_fingerprint(partial)[:16]}.jsonl")


def as_line(row: dict[str, object]) -> bytes:
    """A row as JSON; columns that are null are left out, as if the row did not have them."""
    present = {name: value for name, value in row.items() if value is not None}
    return orjson.dumps(present, default=as_text, option=orjson.OPT_APPEND_NEWLINE)


def as_text(value: object) -> str:
    """What JSON has no type for: exact numbers as written, bytes in hex, the rest as text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return format(value, "f") if isinstance(value, Decimal) else str(value)
