"""A workspace of an older version: copied first, then migrated, and nothing of it is lost."""

import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import numpy as np
import pytest

from storage import database, upgrade
from storage.database import Connection, WorkspaceVersionError, open_workspace, read_workspace
from storage.migrations import MIGRATIONS
from storage.scores import ScoreKey, read_scores, write_scores
from storage.upgrade import NoRoomForBackupError
from storage.workspace import Workspace
from tests.old_workspace import FIRST_OF_0_2, write_old_workspace

WayIn = Callable[[Workspace], AbstractContextManager[Connection]]


def copies(workspace: Workspace) -> list[Path]:
    return sorted(workspace.directory.glob("*before-migration*"))


def columns_of(path: Path, table: str) -> list[str]:
    with duckdb.connect(str(path), read_only=True) as con:
        return [str(row[0]) for row in con.execute(f"describe {table}").fetchall()]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.mark.parametrize("way_in", [open_workspace, read_workspace])
def test_every_row_survives_and_the_copy_is_as_it_was(
    workspace: Workspace, way_in: WayIn, caplog: pytest.LogCaptureFixture
) -> None:
    before = write_old_workspace(workspace)
    with way_in(workspace) as con:
        for table, rows in before.items():
            found = con.execute(f"select * from {table}").fetchall()
            assert [row[: len(old)] for row, old in zip(found, rows, strict=True)] == rows, table
        assert con.execute("select cost from trials").fetchall() == [(None,)]
    (copy,) = copies(workspace)
    assert copy.name == f"workspace.duckdb.before-migration-{FIRST_OF_0_2}"
    assert "cost" not in columns_of(copy, "trials")
    assert "brought up to date" in caplog.text and copy.name in caplog.text
    caplog.clear()
    with way_in(workspace):
        pass
    assert copies(workspace) == [copy] and not caplog.records


def test_a_killed_migration_goes_on_and_leaves_the_copy_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_old_workspace(workspace)
    halfway = (*MIGRATIONS[: FIRST_OF_0_2 + 2], "select error('killed here')")
    monkeypatch.setattr(database, "MIGRATIONS", halfway)
    with pytest.raises(duckdb.Error, match="killed here"), open_workspace(workspace):
        pass
    (copy,) = copies(workspace)
    whole = copy.read_bytes()
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS)
    caplog.set_level(logging.WARNING)
    with open_workspace(workspace) as con:
        assert con.execute("select cost from trials").fetchall() == [(None,)]
    assert "going on with a migration" in caplog.text
    assert copies(workspace) == [copy] and copy.read_bytes() == whole
    assert not list(workspace.directory.glob("*.migrating"))


def test_a_mark_that_a_kill_left_after_the_last_statement_does_not_stop_the_next_copy(
    workspace: Workspace,
) -> None:
    write_old_workspace(workspace)
    mark = upgrade.migration_mark(workspace.database)
    mark.write_text(f'{{"copy": "gone", "until": {FIRST_OF_0_2}}}')
    with open_workspace(workspace):
        pass
    assert len(copies(workspace)) == 1


def test_a_copy_of_another_state_is_not_overwritten(workspace: Workspace) -> None:
    write_old_workspace(workspace)
    earlier = workspace.directory / f"workspace.duckdb.before-migration-{FIRST_OF_0_2}"
    earlier.write_bytes(b"another state")
    with open_workspace(workspace):
        pass
    assert earlier.read_bytes() == b"another state"
    assert copies(workspace) == [earlier, earlier.with_name(f"{earlier.name}.2")]


def test_too_full_a_disk_is_told_before_anything_is_touched(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_old_workspace(workspace)
    before = workspace.database.read_bytes()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with (
        pytest.raises(NoRoomForBackupError, match="1 free: free some"),
        read_workspace(workspace),
    ):
        pass
    assert workspace.database.read_bytes() == before
    assert [path.name for path in workspace.directory.iterdir()] == ["workspace.duckdb"]


def test_a_newer_workspace_is_refused_by_readers_too(workspace: Workspace) -> None:
    with open_workspace(workspace) as con:
        con.execute(f"insert into migrations values ({len(MIGRATIONS)})")
    with pytest.raises(WorkspaceVersionError, match="upgrade Sluice"), read_workspace(workspace):
        pass


def test_decisions_of_before_say_the_same_though_fewer_are_stored(tmp_path: Path) -> None:
    """Of a run that generated, redacted and dropped; its decisions had a row for every row kept."""
    before = next(n for n, text in enumerate(MIGRATIONS) if "create table outcomes" in text)
    workspace = Workspace(tmp_path / "work")
    workspace.directory.mkdir()
    steps = {
        ("ingest", 1): ["a", "b", "c"],
        ("generate", 1): ["a", "b", "c", "made"],
        ("clean", 1): ["a", "b", "c!redacted", "clean", "made"],
        ("dedupe", 1): ["a", "b!near_duplicate", "clean", "made"],
        ("select", 1): ["a=0.5", "clean!over_budget", "made!over_budget"],
        ("export", 1): ["a"],
    }
    with duckdb.connect(str(workspace.database)) as con:
        con.execute("create table migrations (n integer primary key)")
        for n, statement in enumerate(MIGRATIONS[:before]):
            con.execute(statement)
            con.execute("insert into migrations values (?)", [n])
        con.execute("insert into run_sources values ('r', 's')")
        for at, example_id in enumerate("abcc"):
            con.execute("insert into occurrences values ('s', ?, ?, 'messages')", [at, example_id])
        for (stage, step), rows in steps.items():
            books = ["r", stage, step, len(rows), sum("!" not in row for row in rows)]
            con.execute(
                "insert into stage_counts values (?, ?, ?, 'x', ?, 0, ?, '{}', '{}', '[]')", books
            )
            for row in rows:
                name, _, reason = row.partition("!")
                name, _, value = name.partition("=")
                outcome = "dropped" if reason else "kept"
                decided = ["r", stage, step, name, outcome, reason, float(value) if value else None]
                con.execute(
                    "insert into decisions values (?, ?, ?, ?, ?, ?, null, ?, null)", decided
                )
        then = con.execute("select * from decisions order by all").fetchall()
    with open_workspace(workspace) as con:
        assert con.execute("select * from decisions order by all").fetchall() == then
        told = con.execute("select example_id, outcome from outcomes order by all").fetchall()
    assert told == [
        ("a", "kept"),  # with a number
        ("b", "dropped"),
        ("c", "dropped"),
        ("clean", "added"),
        ("clean", "dropped"),
        ("made", "added"),
        ("made", "dropped"),
    ]


def test_scores_of_before_are_read_and_replaced(tmp_path: Path) -> None:
    """Their table had a key, which took longer than they did."""
    before = next(n for n, text in enumerate(MIGRATIONS) if "unkeyed_scores" in text)
    workspace = Workspace(tmp_path / "work")
    workspace.directory.mkdir()
    with duckdb.connect(str(workspace.database)) as con:
        con.execute("create table migrations (n integer primary key)")
        for n, statement in enumerate(MIGRATIONS[:before]):
            con.execute(statement)
            con.execute("insert into migrations values (?)", [n])
        con.execute("insert into scores values ('a', 'ifd', 1, '{}', 0.5, 'ok')")
        con.execute("insert into scores values ('b', 'ifd', 1, '{}', null, 'truncated')")
    key = ScoreKey("ifd", 1, "{}")
    with open_workspace(workspace) as con:
        values, states = read_scores(con, key, ["a", "b"])
        assert values[0] == 0.5 and states == ["ok", "truncated"]
        write_scores(con, key, ["b"], np.array([2.0]), ["ok"])
        assert read_scores(con, key, ["a", "b"])[0].tolist() == [0.5, 2.0]
