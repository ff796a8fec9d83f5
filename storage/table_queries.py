"""Rows of a query to somebody's database: a DuckDB or SQLite file, or any server SQLAlchemy knows.

The database is only read, and a query or a view of a file reaches nothing else of this machine.
Values come as JSON has them; dates, decimals and the like as text.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import orjson

ENVIRONMENT_PREFIX = "env:"
"""Before the name of an environment variable that holds a database URL, password and all."""

BATCH_ROWS = 5_000

DUCKDB_MAGIC = (8, b"DUCK")
SQLITE_MAGIC = (0, b"SQLite format 3\0")

SHUT_IN: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
"""For a DuckDB file of somebody's: a view of it could make a training row of any file here."""

READS = frozenset(
    (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    )
)
"""What SQLite may do for a query; to attach another file or to copy this one is neither."""

TableRow = dict[str, Any]


class TableQueryError(ValueError):
    """A database that cannot be opened, or a query that it does not answer."""


def read_table_query(database: str, query: str) -> Iterator[list[TableRow]]:
    """The rows of a query, a batch at a time, in the order in which the database gives them.

    Args:
        database: a DuckDB or SQLite file, or env:NAME for the URL in an environment variable.
        query: SQL of that database.

    Raises:
        TableQueryError: if the database cannot be opened, or the query fails.
    """
    if starts_with(database, DUCKDB_MAGIC):
        return read_duckdb(database, query)
    return read_sqlalchemy(database, query)


def check_database(database: str) -> None:
    """Raise TableQueryError if there is no such database, as far as that can be told unasked."""
    if not starts_with(database, DUCKDB_MAGIC):
        database_url(database)


def database_url(database: str) -> str:
    """The URL by which SQLAlchemy opens a database; read-only where that can be said.

    Raises:
        TableQueryError: if the variable is not set, or the file is no database.
    """
    if database.startswith(ENVIRONMENT_PREFIX):
        name = database.removeprefix(ENVIRONMENT_PREFIX)
        if name not in os.environ:
            raise TableQueryError(
                f"the environment variable {name} is not set; it must hold the database's URL, "
                "such as postgresql+psycopg://user:password@host/name"
            )
        return os.environ[name]
    if not Path(database).is_file():
        raise TableQueryError(f"there is no {database}")
    if starts_with(database, SQLITE_MAGIC):
        return f"sqlite:///file:{Path(database).resolve()}?mode=ro&uri=true"
    raise TableQueryError(
        f"{database} is neither a DuckDB nor a SQLite file; a query needs one of them, or "
        f"{ENVIRONMENT_PREFIX}NAME with the URL of a database"
    )


def starts_with(path: str, magic: tuple[int, bytes]) -> bool:
    """Whether a file has these bytes in this place."""
    at, expected = magic
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(len(expected)) == expected


def read_duckdb(database: str, query: str) -> Iterator[list[TableRow]]:
    """Ask a DuckDB file; columns of the type JSON are parsed."""
    with told_apart(database), duckdb.connect(database, read_only=True, config=SHUT_IN) as con:
        con.execute(query)
        names = [str(column[0]) for column in con.description or ()]
        json = [str(column[1]) == "JSON" for column in con.description or ()]
        while rows := con.fetchmany(BATCH_ROWS):
            yield [
                {
                    name: orjson.loads(value) if parsed and value is not None else value
                    for name, value, parsed in zip(names, row, json, strict=True)
                }
                for row in rows
            ]


def read_sqlalchemy(database: str, query: str) -> Iterator[list[TableRow]]:
    """Ask through SQLAlchemy."""
    import sqlalchemy  # late, for it is slow to import and few sources are databases

    with told_apart(database):
        engine = sqlalchemy.create_engine(database_url(database))
        if engine.dialect.name == "sqlite":
            sqlalchemy.event.listen(engine, "connect", allow_reading)
        try:
            with engine.connect().execution_options(stream_results=True) as con:
                rows = con.execute(sqlalchemy.text(query)).mappings()
                while batch := rows.fetchmany(BATCH_ROWS):
                    yield [dict(row) for row in batch]
        finally:
            engine.dispose()


def allow_reading(connection: sqlite3.Connection, _: object) -> None:
    """Have SQLite refuse whatever does more than read its own file."""
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in READS else sqlite3.SQLITE_DENY
    )


@contextmanager
def told_apart(database: str) -> Iterator[None]:
    """Say which database an error is about, never its password."""
    import sqlalchemy

    try:
        yield
    except (duckdb.Error, sqlalchemy.exc.SQLAlchemyError) as error:
        first = str(error).splitlines()[0]
        # Not chained: the whole error holds the URL.
        raise TableQueryError(f"{database} does not answer the query: {first}") from None
    except ModuleNotFoundError as error:
        raise TableQueryError(f"{database}: install the database's driver, {error.name}") from None
