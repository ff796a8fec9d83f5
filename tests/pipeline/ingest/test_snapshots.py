"""A query's answer is a source: known by its content, read again, edited row by row."""

import sqlite3
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.ingest.rows import UnreadableSourceError
from pipeline.ingest.snapshots import as_line, snapshot_query
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from storage.database import read_workspace
from storage.examples import read_pool
from storage.workspace import Workspace

QUERY = "select prompt, completion from chats order by prompt"


def write_chats(path: Path, rows: list[tuple[str, str]]) -> None:
    with sqlite3.connect(path) as con:
        con.execute("create table if not exists chats (prompt text, completion text)")
        con.execute("delete from chats")
        con.executemany("insert into chats values (?, ?)", rows)


def ingest(workspace: Workspace, path: Path) -> tuple[list[str], list[str]]:
    """Source ids and the pool they make."""
    settings = [SourceSettings(path=str(path), query=QUERY)]
    sources = identify_sources(workspace, settings)
    ingest_sources(workspace, sources)
    ids = [source.source_id for source in sources]
    with read_workspace(workspace) as con:
        return ids, read_pool(con, ids)


def test_the_same_answer_is_the_same_source_and_another_brings_its_changes(
    tmp_path: Path,
) -> None:
    database, workspace = tmp_path / "chats.db", Workspace(tmp_path / "w")
    write_chats(database, [("a", "1"), ("b", "2")])
    first, pool = ingest(workspace, database)
    again, _ = ingest(workspace, database)
    assert again == first
    write_chats(database, [("a", "1"), ("b", "changed"), ("c", "3")])
    later, new_pool = ingest(workspace, database)
    assert later != first
    assert len(set(new_pool) & set(pool)) == 1
    assert len(new_pool) == 3
    with read_workspace(workspace) as con:  # what is gone is retired, not forgotten
        assert len(read_pool(con, first)) == 2


def test_an_answer_is_kept_so_that_rows_can_be_read_again(tmp_path: Path) -> None:
    database, workspace = tmp_path / "chats.db", Workspace(tmp_path / "w")
    write_chats(database, [("a", "1")])
    path = snapshot_query(workspace, str(database), QUERY)
    assert path.read_bytes() == b'{"prompt":"a","completion":"1"}\n'
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failed_query_leaves_nothing(tmp_path: Path) -> None:
    database, workspace = tmp_path / "chats.db", Workspace(tmp_path / "w")
    write_chats(database, [("a", "1")])
    with pytest.raises(UnreadableSourceError, match="no such table"):
        snapshot_query(workspace, str(database), "select * from gone")
    assert not [file for file in workspace.snapshots.rglob("*") if file.is_file()]


def test_values_that_json_lacks_become_text_and_nulls_no_keys() -> None:
    row: dict[str, object] = {
        "n": Decimal("1.50"),
        "day": date(2026, 11, 21),
        "raw": b"\x00\xff",
        "none": None,
    }
    assert as_line(row) == b'{"n":"1.50","day":"2026-11-21","raw":"00ff"}\n'
