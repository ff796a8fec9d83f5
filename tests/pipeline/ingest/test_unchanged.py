"""A source that changes while it is read is refused, and nothing of it stays as read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.ingest.readers import UnreadableSourceError
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from storage.database import Connection, fetch_count, open_workspace
from storage.sources import complete_source
from storage.workspace import Workspace

BEFORE = b'{"prompt": "a", "completion": "b"}\n' * 3
OTHER = b'{"prompt": "a", "completion": "c"}\n' * 3
BACK = "written to and back"  # before it is read, it is what was hashed


def write_and_take_back(path: Path) -> None:
    path.write_bytes(OTHER)
    path.write_bytes(BEFORE)


def replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(OTHER)
    new.rename(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "written to": lambda path: path.write_bytes(OTHER),
    "grown": lambda path: path.write_bytes(BEFORE + OTHER),
    "cut": lambda path: os.truncate(path, 40),
    "replaced": replace,
    BACK: write_and_take_back,
}


def counts(workspace: Workspace) -> tuple[int, int, int]:
    with open_workspace(workspace) as con:
        queries = ("occurrences", "quarantine", "sources where complete")
        found = [fetch_count(con, f"select count(*) from {query}") for query in queries]
    return found[0], found[1], found[2]


@pytest.mark.parametrize(
    ("kind", "when"),
    [(kind, "while") for kind in CHANGES] + [(kind, "before") for kind in CHANGES if kind != BACK],
)
def test_a_source_that_changes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, when: str
) -> None:
    path, workspace = tmp_path / "rows.jsonl", Workspace(tmp_path / "w")
    path.write_bytes(BEFORE)
    sources = identify_sources(workspace, [SourceSettings(path=str(path))])
    if when == "before":
        CHANGES[kind](path)
    else:
        monkeypatch.setattr(
            "pipeline.ingest.stage.bound_rows", lambda name, _: CHANGES[kind](Path(name)) and None
        )
    with pytest.raises(UnreadableSourceError, match=r"rows\.jsonl was changed while it was read"):
        ingest_sources(workspace, sources)
    assert counts(workspace) == (0, 0, 0)
    monkeypatch.undo()
    ingest_sources(workspace, identify_sources(workspace, [SourceSettings(path=str(path))]))
    rows, refused, complete = counts(workspace)
    assert rows + refused == path.read_bytes().count(b"{") and complete == 1


def test_it_is_proved_before_the_source_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, workspace = tmp_path / "rows.jsonl", Workspace(tmp_path / "w")
    path.write_bytes(BEFORE)
    completed: list[str] = []

    def noted(con: Connection, source_id: str, rows: int) -> None:
        completed.append(source_id)
        complete_source(con, source_id, rows)

    monkeypatch.setattr("pipeline.ingest.stage.complete_source", noted)
    sources = identify_sources(workspace, [SourceSettings(path=str(path))])
    path.write_bytes(OTHER)
    with pytest.raises(UnreadableSourceError):
        ingest_sources(workspace, sources)
    assert completed == []


def test_a_link_is_read_by_its_own_name(tmp_path: Path) -> None:
    blob, link = tmp_path / "blobs" / "0a1b", tmp_path / "snapshots" / "data.jsonl"
    blob.parent.mkdir()
    link.parent.mkdir()
    blob.write_bytes(BEFORE)
    link.symlink_to("../blobs/0a1b")
    workspace = Workspace(tmp_path / "w")
    (source,) = identify_sources(workspace, [SourceSettings(path=str(link))])
    assert source.path == "../snapshots/data.jsonl"
    ingest_sources(workspace, [source])
    assert counts(workspace) == (3, 0, 1)
