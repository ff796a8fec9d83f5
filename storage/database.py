"""One DuckDB file holds a workspace; this module opens it and brings its tables up to date.

DuckDB lets one process write at a time and refuses a second at once, so a connection is opened
inside a stage and closed with it, and who finds it closed tries again for a while: a reader must
not end a run, nor a run a reader. Who may write is settled before, in storage/workspace_lock.py.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import duckdb

from storage.database_file import explain_database_error, foreign, make_directory
from storage.duckdb_instance import attached
from storage.migrations import MIGRATIONS
from storage.shard_checks import telling_damage
from storage.upgrade import back_up, migration_mark
from storage.views import define_views
from storage.workspace import Workspace

Connection = duckdb.DuckDBPyConnection

PATIENCE_SECONDS = 60.0  # how long a database is tried that another process has open

TABLES = "select table_name from duckdb_tables() where database_name = current_database()"

PATH = "select path from duckdb_databases() where database_name = current_database()"

OLDEST = "stage_counts"
"""A table that every version had, and hardly another program."""

BRIEF_SECONDS = 1.0
POLL_SECONDS = 0.05


class WorkspaceBusyError(RuntimeError):
    """Another process has the workspace open for writing."""

    exit_code: ClassVar[int] = 2


class QueryError(ValueError):
    """What was asked for is not in the workspace, or the question is not one."""

    exit_code: ClassVar[int] = 2


class WorkspaceMissingError(FileNotFoundError):
    """There is no workspace where one was asked for."""

    exit_code: ClassVar[int] = 2


class WorkspaceVersionError(ValueError):
    """The workspace was written by a newer version of Sluice."""

    exit_code: ClassVar[int] = 2


@contextmanager
def open_workspace(workspace: Workspace, views: bool = True) -> Iterator[Connection]:
    """Open a workspace for reading and writing, creating it and migrating its tables first.

    Args:
        workspace: which.
        views: whether measurements are read; bringing their views up to date reads new files.

    Raises:
        WorkspaceBusyError: if another process has it open.
        WorkspaceVersionError: if a newer version wrote it.
        DatabaseFileError: if its database is damaged, or another program's.
        LostMeasurementsError: if a file is gone that its tables name.
        DamagedMeasurementsError: if one is not what was committed.
        OSError: if it cannot be written, or if it is of an older version and there is no room for
            a copy of it.
    """
    with open_tables(workspace) as con, telling_damage(con):
        if views:
            register_store(con, workspace)
            define_views(con, workspace, temporary=False)
        yield con


@contextmanager
def open_tables(workspace: Workspace) -> Iterator[Connection]:
    """The same without the views of measurements, which need every file of theirs to be there."""
    make_directory(workspace.directory)
    with connect(workspace.database, read_only=False) as con:
        applied = count_applied(con)
        if not is_older(applied):
            if not applied:
                migrate(con)  # a new database has nothing that could be lost
            yield con
            return
    # Closed before it is copied, and opened anew: DuckDB may hold writes back in its log.
    bring_up_to_date(workspace.database, applied)
    with open_tables(workspace) as con:
        yield con


@contextmanager
def read_workspace(workspace: Workspace) -> Iterator[Connection]:
    """Open a workspace that exists, for reading only; one of an older version is migrated first.

    Raises:
        WorkspaceMissingError: if there is none.
        WorkspaceBusyError: if another process is writing to it.
        WorkspaceVersionError: if a newer version wrote it.
        DatabaseFileError: if its database is damaged, or another program's.
        LostMeasurementsError: if a file is gone that its tables name.
        DamagedMeasurementsError: if one is not what was committed.
        OSError: if it is of an older version and cannot be written.
    """
    with read_tables(workspace) as con, telling_damage(con):
        register_store(con, workspace)
        define_views(con, workspace, temporary=True)
        yield con


@contextmanager
def read_tables(workspace: Workspace) -> Iterator[Connection]:
    """The same without the views of measurements, which need every file of theirs to be there."""
    missing = f"there is no workspace in {workspace.directory}: `sluice run RECIPE` makes one"
    if not workspace.database.exists():
        raise WorkspaceMissingError(missing)
    with connect(workspace.database, read_only=True) as con:
        applied = count_applied(con)
        if not applied:  # what was to make it was killed before it did
            raise WorkspaceMissingError(missing)
        if not is_older(applied):
            yield con
            return
    bring_up_to_date(workspace.database, applied)
    with read_tables(workspace) as con:
        yield con


def read_schema(workspace: Workspace) -> tuple[int, int]:
    """How many migrations a workspace has seen, and how many this version knows; changes nothing.

    It does not wait for long: that a workspace is busy is an answer as well.

    Raises:
        WorkspaceBusyError: if another process is writing to it.
        WorkspaceVersionError: if a newer version wrote it.
    """
    with connect(workspace.database, read_only=True, patience=BRIEF_SECONDS) as con:
        return count_applied(con), len(MIGRATIONS)


def is_older(applied: int) -> bool:
    """Whether a database that has seen so many migrations lacks some."""
    return 0 < applied < len(MIGRATIONS)


def bring_up_to_date(database: Path, applied: int) -> None:
    """Migrate a database of an older version, once it has been copied."""
    with connect(database, read_only=False) as con:
        con.execute("checkpoint")  # so that the copied file has all of it
    back_up(database, applied, until=len(MIGRATIONS))
    with connect(database, read_only=False) as con:
        migrate(con)
    migration_mark(database).unlink()  # last: until then a kill means that it goes on


@contextmanager
def connect(
    database: Path, *, read_only: bool, patience: float | None = None
) -> Iterator[Connection]:
    """Connect to a DuckDB file with extensions from the network switched off.

    Args:
        database: the file.
        read_only: whether nothing will be written.
        patience: seconds to try while another process has it; PATIENCE_SECONDS if not given.
    """
    give_up = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
    with ExitStack() as opened:
        while (con := try_to_connect(opened, database, read_only, give_up)) is None:
            time.sleep(POLL_SECONDS)
        with telling_what_is_wrong(database):
            yield con


@contextmanager
def telling_what_is_wrong(database: Path) -> Iterator[None]:
    """Raise a DatabaseFileError for an error of DuckDB's that comes from the file itself."""
    try:
        yield
    except duckdb.Error as error:
        if (explained := explain_database_error(database, error)) is None:
            raise
        raise explained from error


def register_store(con: Connection, workspace: Workspace) -> None:
    """Have DuckDB read shards in an object store through fsspec; its own way needs an extension."""
    store = workspace.measurements.filesystem()
    if store is not None:
        con.register_filesystem(store)


def try_to_connect(
    opened: ExitStack, database: Path, read_only: bool, give_up: float
) -> Connection | None:
    """A connection; None if another process has the database, and there is time to try again."""
    try:
        with telling_what_is_wrong(database):
            return opened.enter_context(attached(database, read_only=read_only))
    except duckdb.IOException as error:
        if "Could not set lock" not in str(error):  # DuckDB has no class of its own for it
            raise
        if time.monotonic() < give_up:
            return None
        raise WorkspaceBusyError(
            f"{database.parent} is in use by another process, and was so for as long as it was "
            "waited for; wait for it to end, or stop it.\n"
            f"DuckDB says: {str(error).splitlines()[0]}"
        ) from error


def migrate(con: Connection) -> None:
    """Apply the migrations that the database has not seen.

    A new database gets all of them in one transaction. To one that has rows each is a step of its
    own, and a migration that is killed goes on where it was.
    """
    con.execute("create table if not exists migrations (n integer primary key)")
    steps = [*enumerate(MIGRATIONS)][(applied := count_applied(con)) :]
    for together in [[step] for step in steps] if applied else [steps]:
        with transaction(con):
            for _, statement in together:
                con.execute(statement)
            seen = {"first": together[0][0], "next": together[-1][0] + 1}
            con.execute("insert into migrations select * from range($first, $next)", seen)


def count_applied(con: Connection) -> int:
    """How many migrations a database has seen; 0 for one without tables.

    Raises:
        WorkspaceVersionError: if there are more than this version knows.
        DatabaseFileError: if its tables are another program's.
    """
    try:
        applied = fetch_count(con, "select count(*) from migrations")
    except duckdb.CatalogException:  # a new database: to ask whether it has the table takes longer
        applied = 0
    if applied != len(MIGRATIONS):
        require_ours(con, applied)
    if applied > len(MIGRATIONS):
        raise WorkspaceVersionError(
            f"this workspace was written by a newer version: it has {applied} migrations, "
            f"this version knows {len(MIGRATIONS)}; upgrade Sluice"
        )
    return applied


def require_ours(con: Connection, applied: int) -> None:
    """Raise DatabaseFileError if a database that is not up to date was never a workspace's."""
    tables = set(con.execute(TABLES).fetchnumpy()["table_name"])
    ours = OLDEST in tables if applied else tables <= {"migrations"}  # killed before they were made
    if not ours:
        ((path,),) = con.execute(PATH).fetchall()
        raise foreign(Path(path or ""), "another program's DuckDB database")


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
