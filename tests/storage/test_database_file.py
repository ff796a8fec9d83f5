"""Whatever lies in the place of a workspace's database is called what it is, and left as it was."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from storage.database import (
    WorkspaceBusyError,
    WorkspaceMissingError,
    WorkspaceVersionError,
    open_workspace,
    read_schema,
    read_workspace,
)
from storage.database_file import DatabaseFileError, explain_database_error
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace

BLOCK_AT = 3 * 4096  # where DuckDB's first block begins, after its three headers


def another_duckdb(path: Path, statement: str = "create table t as select 1 as a") -> None:
    with duckdb.connect(path) as con:
        con.execute(statement)


def sqlite_file(path: Path) -> None:
    with sqlite3.connect(path) as con:
        con.execute("create table t (a)")


def parquet_file(path: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"copy (select 1 as a) to '{path}' (format parquet)")


def text_file(path: Path) -> None:
    path.write_text("hello\n" * 9000)


def with_their_migrations(path: Path) -> None:
    another_duckdb(path, "create table migrations as select range as n from range(3)")


def with_more_migrations(path: Path) -> None:
    another_duckdb(path, "create table migrations as select range as n from range(1000)")


FOREIGN: dict[str, Callable[[Path], None]] = {
    "a directory": Path.mkdir,
    "an empty file": Path.touch,
    "a SQLite database": sqlite_file,
    "a Parquet file": parquet_file,
    "another program's DuckDB database": another_duckdb,
    "a file of some other kind": text_file,
}


@pytest.fixture
def place(workspace: Workspace) -> Path:
    workspace.directory.mkdir()
    return workspace.database


def refused(workspace: Workspace, match: str) -> None:
    """Reading and writing say the same, and change nothing."""
    before = content_of(workspace.database)
    for use in (read_workspace, open_workspace):
        with pytest.raises(DatabaseFileError, match=match) as raised, use(workspace):
            pass
        assert "\n" not in str(raised.value)
        assert raised.value.exit_code == 2
    assert content_of(workspace.database) == before


def content_of(path: Path) -> bytes:
    return b"" if path.is_dir() else path.read_bytes()


def a_workspace(workspace: Workspace) -> bytearray:
    with open_workspace(workspace) as con:
        con.execute("insert into run_sources select range, range from range(20_000)")
    return bytearray(workspace.database.read_bytes())


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_workspace_is_called_what_it_is(
    workspace: Workspace, place: Path, kind: str
) -> None:
    FOREIGN[kind](place)
    refused(workspace, f"is {kind}, and no database of a workspace")


@pytest.mark.parametrize("make", [with_their_migrations, with_more_migrations])
def test_tables_of_another_program_are_not_migrated(
    workspace: Workspace, place: Path, make: Callable[[Path], None]
) -> None:
    make(place)
    refused(workspace, "another program's DuckDB database")
    with pytest.raises(DatabaseFileError):
        read_schema(workspace)


@pytest.mark.parametrize("content", [b"x", b"\0" * 5000, os.urandom(20_000), b"PK\3\4" * 9])
def test_so_are_other_bytes(workspace: Workspace, place: Path, content: bytes) -> None:
    place.write_bytes(content)
    refused(workspace, "a file of some other kind")


def test_a_database_without_tables_is_no_workspace_yet(workspace: Workspace, place: Path) -> None:
    another_duckdb(place, "create table migrations (n integer primary key)")  # and then killed
    with pytest.raises(WorkspaceMissingError, match="sluice run"), read_workspace(workspace):
        pass
    with open_workspace(workspace):
        pass


@pytest.mark.parametrize("size", [100, 5000, BLOCK_AT, BLOCK_AT + 9000])
def test_a_truncated_database_is_damaged(workspace: Workspace, size: int) -> None:
    content = a_workspace(workspace)
    workspace.database.write_bytes(content[:size])
    refused(workspace, "is damaged or cut short.*Put a copy of it back")


@pytest.mark.parametrize("at", [20, 4100, 2 * 4096 + 30, BLOCK_AT + 40])
def test_a_flipped_bit_is_damage_and_no_other_process(workspace: Workspace, at: int) -> None:
    content = a_workspace(workspace)
    with open_workspace(workspace) as con:
        con.execute("checkpoint")
    for place in range(at, len(content), 4096):
        content[place] ^= 1
    workspace.database.write_bytes(content)
    refused(workspace, "is damaged or cut short")


def test_damage_that_only_a_query_meets_is_called_so(workspace: Workspace) -> None:
    content = a_workspace(workspace)
    found: list[str] = []
    for block in range(BLOCK_AT, len(content), 1 << 18):
        damaged = content.copy()
        damaged[block + 5000] ^= 1
        workspace.database.write_bytes(damaged)
        try:
            with read_workspace(workspace) as con:
                con.execute("select max(source_id), max(run_id) from run_sources").fetchall()
        except DatabaseFileError as error:
            found.append(str(error))
    assert found
    assert all("is damaged or cut short" in each for each in found)


def test_a_newer_duckdb_is_no_damage(workspace: Workspace) -> None:
    content = a_workspace(workspace)
    content[12] = 200  # the version of the file's format
    workspace.database.write_bytes(content)
    with pytest.raises(duckdb.IOException, match="Corrupt") as raised:
        duckdb.connect(workspace.database, read_only=True)
    (checksum,) = re.findall(r"computed checksum (\d+)", str(raised.value))
    content[:8] = int(checksum).to_bytes(8, "little")  # so that only the version is another
    workspace.database.write_bytes(content)
    refused(workspace, "was written by a newer DuckDB than the")


def test_a_damaged_log_is_named(workspace: Workspace) -> None:
    a_workspace(workspace)
    script = (
        "import duckdb, os, sys\n"
        "con = duckdb.connect(sys.argv[1])\n"
        "con.execute('insert into run_targets select range, range from range(100)')\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(workspace.database)], check=True)
    log = workspace.database.with_name("workspace.duckdb.wal")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 4
    log.write_bytes(content)
    refused(workspace, r"workspace.duckdb.wal, the log .* is damaged. Move it away")
    shutil.move(log, f"{log}.away")
    with read_workspace(workspace) as con:
        assert con.execute("select count(*) from run_sources").fetchall() == [(20_000,)]


def test_other_errors_stay_what_they_are(workspace: Workspace) -> None:
    a_workspace(workspace)
    with pytest.raises(duckdb.ParserException), read_workspace(workspace) as con:
        con.execute("no sql")
    missing = workspace.directory / "missing"
    assert explain_database_error(missing, duckdb.IOException("Permission denied")) is None
    assert not issubclass(DatabaseFileError, WorkspaceVersionError | WorkspaceBusyError)


def test_a_file_in_the_place_of_the_directory_is_named(workspace: Workspace) -> None:
    workspace.directory.write_text("notes")
    below = Workspace(workspace.directory / "below" / "it")
    for place in (workspace, below):
        told = pytest.raises(DatabaseFileError, match=f"{workspace.directory} is a file, and a")
        with told, lock_workspace(place, "run"):
            pass
        with told, open_workspace(place):
            pass
        with pytest.raises(WorkspaceMissingError), read_workspace(place):
            pass
