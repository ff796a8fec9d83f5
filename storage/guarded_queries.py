"""Queries that a person typed, or that came with a file: they may read what is meant, and no more.

SQL can read any file of the machine, write files, load code and call servers. Here a connection is
left the workspace's own tables and shards: other files and all servers are shut out, for good, and
a statement that does more than read is refused before it runs.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from storage.database import Connection, QueryError, read_workspace
from storage.workspace import Workspace

BATCH_ROWS = 10_000

EXPLAIN = re.compile(r"(?<!\s)\s*explain(\s+analyze\b|\s*\([^)]*\))?", re.IGNORECASE)

ONLY_READS = (
    "`sluice sql` is read-only: a query begins with select, from, with, describe, show, summarize "
    "or explain. To write its answer to a file, name one: --out FILE"
)


@contextmanager
def guarded_workspace(workspace: Workspace) -> Iterator[Connection]:
    """Open a workspace for reading, with nothing else within reach.

    Raises:
        WorkspaceMissingError: if there is none; and whatever else `read_workspace` raises.
    """
    with read_workspace(workspace) as con:
        shut_in(con, [workspace.measurements.root])
        yield con


def shut_in(con: Connection, folders: Sequence[str]) -> None:
    """Leave a connection the files in these folders, and no way to change that.

    It holds for everything that its instance of DuckDB has, which is not used again.
    """
    listed = ", ".join("'" + folder.replace("'", "''") + "/'" for folder in folders)
    con.execute(f"set allowed_directories = [{listed}]")
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


def run_query(con: Connection, query: str) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """Column names and rows of any SQL a person typed.

    Raises:
        QueryError: if it does more than read, or DuckDB will not answer it.
    """
    require_reading(con, query)
    try:
        con.execute(query)
        return [str(column[0]) for column in con.description or ()], con.fetchall()
    except duckdb.Error as error:
        raise QueryError(str(error)) from None


def stream_query(con: Connection, query: str) -> pa.RecordBatchReader:
    """The rows of a query as Arrow batches, read as they are asked for.

    Raises:
        QueryError: if it does more than read, or DuckDB will not answer it.
    """
    require_reading(con, query)
    try:
        return con.execute(query).to_arrow_reader(BATCH_ROWS)
    except duckdb.Error as error:
        raise QueryError(str(error)) from None


def require_reading(con: Connection, query: str) -> None:
    """Refuse statements that do more than read.

    A file that may be read could be written as well: `copy` would put a table in a shard's place.

    Raises:
        QueryError: if there is one, or the query is no SQL.
    """
    try:
        statements = con.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    for statement in statements:
        kind = statement.type
        if kind == duckdb.StatementType.EXPLAIN:  # with analyze it runs what it explains
            require_reading(con, EXPLAIN.sub("", statement.query, count=1))
        # A pivot is two statements, of which the first, without a text, makes a type of its own.
        elif kind != duckdb.StatementType.SELECT and statement.query.strip():
            raise QueryError(ONLY_READS)
