"""Rows of queries as lists and dicts, and Arrow tables as rows: what every table's module does."""

from collections.abc import Mapping

import pyarrow as pa

from storage.database import Connection

Parameters = Mapping[str, object]


def fetch_texts(con: Connection, query: str, parameters: Parameters | None = None) -> list[str]:
    """The first column of a query's rows, in their order."""
    return [str(row[0]) for row in con.execute(query, dict(parameters or {})).fetchall()]


def fetch_counts(
    con: Connection, query: str, parameters: Parameters | None = None
) -> dict[str, int]:
    """The first column of a query's rows → the second."""
    rows = con.execute(query, dict(parameters or {})).fetchall()
    return {str(name): int(count) for name, count in rows}


def write_table(
    con: Connection, name: str, table: pa.Table, query: str, parameters: Parameters | None = None
) -> None:
    """Run a statement that reads an Arrow table under a name."""
    con.register(name, table)
    con.execute(query, dict(parameters or {}))
    con.unregister(name)
