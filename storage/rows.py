"""Rows of queries as lists and dicts, and Arrow tables as rows: what every table's module does."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.database import Connection

Parameters = Mapping[str, object]

TEXT = pa.string()


def fetch_texts(con: Connection, query: str, parameters: Parameters | None = None) -> list[str]:
    """The first column of a query's rows, in their order."""
    return [str(row[0]) for row in con.execute(query, dict(parameters or {})).fetchall()]


def fetch_counts(
    con: Connection, query: str, parameters: Parameters | None = None
) -> dict[str, int]:
    """The first column of a query's rows → the second."""
    rows = con.execute(query, dict(parameters or {})).fetchall()
    return {str(name): int(count) for name, count in rows}


def as_table(columns: Mapping[str, pa.DataType], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows as an Arrow table with these columns."""
    # With types: Arrow would give a column of no rows the type null.
    return pa.table(
        {
            name: pa.array([row[place] for row in rows], kind)
            for place, (name, kind) in enumerate(columns.items())
        }
    )


def write_table(
    con: Connection, name: str, table: pa.Table, query: str, parameters: Parameters | None = None
) -> None:
    """Run a statement that reads an Arrow table under a name."""
    con.register(name, table)
    con.execute(query, dict(parameters or {}))
    con.unregister(name)
