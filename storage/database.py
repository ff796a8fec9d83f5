"""One DuckDB file holds a workspace; this module opens it and brings its tables up to date.

DuckDB lets one process write at a time and refuses a second at once, so a connection is opened
inside a stage and closed with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from storage.migrations import MIGRATIONS
from storage.views import define_views
from storage.workspace import Workspace

Connection = duckdb.DuckDBPyConnection


class WorkspaceBusyError(RuntimeError):
    """Another process has the workspace open for writing."""


class QueryError(ValueError):
    """What was asked for is not in the workspace, or the question is not one."""


class WorkspaceMissingError(FileNotFoundError):
    """There is no workspace where one was asked for."""


@contextmanager
def open_workspace(workspace: Workspace, views: bool = True) -> Iterator[Connection]:
    """Open a workspace for reading and writing, creating it and migrating its tables first.

    Args:
        workspace: which.
        views: whether measurements are read; bringing their views up to date reads new files.

    Raises:
        WorkspaceBusyError: if another process has it open.
    """
    workspace.directory.mkdir(parents=True, exist_ok=True)
    with connect(workspace.database, read_only=False) as con:
        migrate(con)
        if views:
            register_store(con, workspace)
            define_views(con, workspace, temporary=False)
        yield con


@contextmanager
def read_workspace(workspace: Workspace) -> Iterator[Connection]:
    """Open a workspace that exists, for reading only.

    Raises:
        WorkspaceMissingError: if there is none.
        WorkspaceBusyError: if another process is writing to it.
    """
    if not workspace.database.exists():
        raise WorkspaceMissingError(
            f"there is no workspace in {workspace.directory}: `sluice run RECIPE` makes one"
        )
    with connect(workspace.database, read_only=True) as con:
        register_store(con, workspace)
        define_views(con, workspace, temporary=True)
        yield con


@contextmanager
def connect(database: Path, *, read_only: bool) -> Iterator[Connection]:
    """Connect to a DuckDB file with extensions from the network switched off."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    try:
        con = duckdb.connect(str(database), read_only=read_only, config=config)
    except duckdb.IOException as error:
        if "lock" not in str(error):
            raise
        raise WorkspaceBusyError(
            f"{database.parent} is in use by another process; wait for it to end, or stop it.\n"
            f"DuckDB says: {str(error).splitlines()[0]}"
        ) from error
    try:
        con.execute("set timezone = 'UTC'")
        yield con
    finally:
        con.close()


def register_store(con: Connection, workspace: Workspace) -> None:
    """Have DuckDB read shards in an object store through fsspec; its own way needs an extension."""
    store = workspace.measurements.filesystem()
    if store is not None:
        con.register_filesystem(store)


def migrate(con: Connection) -> None:
    """Apply the migrations that the database has not seen, each in a transaction of its own."""
    con.execute("create table if not exists migrations (n integer primary key)")
    applied = fetch_count(con, "select count(*) from migrations")
    if applied > len(MIGRATIONS):
        raise ValueError(
            f"this workspace was written by a newer version: it has {applied} migrations, "
            f"this version knows {len(MIGRATIONS)}; upgrade Sluice"
        )
    for n, statement in enumerate(MIGRATIONS[applied:], start=applied):
        with transaction(con):
            con.execute(statement)
            con.execute("insert into migrations values ($n)", {"n": n})


@contextmanager
def transaction(con: Connection) -> Iterator[None]:
    """Commit what happens inside as one, or nothing of it."""
    con.begin()
    try:
        yield
    except BaseException:
        con.rollback()
        raise
    con.commit()


def fetch_count(con: Connection, query: str, parameters: dict[str, object] | None = None) -> int:
    """The one number that a query gives."""
    (row,) = con.execute(query, parameters or {}).fetchall()
    return int(row[0])
