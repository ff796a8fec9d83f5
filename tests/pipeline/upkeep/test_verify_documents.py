"""Every passage is found again at its place, or the link that breaks is named."""

from datetime import date
from pathlib import Path

import pytest

from pipeline.documents import kinds
from pipeline.documents.settings import DocumentSettings
from pipeline.documents.stage import identify_documents, ingest_documents
from pipeline.export.verify import Link
from pipeline.upkeep.leftovers import RemovalOptions, remove_leftovers
from pipeline.upkeep.verify_documents import verify_documents
from scorers.measures.models.loading import ResolvedModel
from storage.database import open_workspace, read_tables
from storage.runs import start_run
from storage.workspace import Workspace
from tests.tiny_models import save_tiny_llama


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    folder = save_tiny_llama(tmp_path_factory.mktemp("tiny"))
    return ResolvedModel("tiny", folder, "f" * 64)


def ingest(folder: Path, model: ResolvedModel, run: str) -> Workspace:
    workspace = Workspace(folder / "w")
    found = identify_documents(
        workspace, [DocumentSettings(path=str(folder / "*.txt"))], model.fingerprint
    )
    with open_workspace(workspace) as con:
        start_run(con, run, {"name": "docs", "seed": 0}, "code", {}, [])
    ingest_documents(workspace, run, found, model)
    return workspace


def verify(workspace: Workspace) -> list[Link]:
    with read_tables(workspace) as con:
        return verify_documents(con, workspace)


def test_what_is_as_it_was_holds(tmp_path: Path, model: ResolvedModel) -> None:
    (tmp_path / "a.txt").write_text("One. Two.")
    (tmp_path / "bad.txt").write_text("")
    assert verify(ingest(tmp_path, model, "r")) == [Link("../a.txt", "passages", 1, 0)]


def test_damage_in_the_workspace_is_broken(tmp_path: Path, model: ResolvedModel) -> None:
    (tmp_path / "a.txt").write_text("One. Two.")
    workspace = ingest(tmp_path, model, "r")
    for change in (
        "update passages set text = 'One. Too.'",
        "update passages set text = 'One. Two.', start_at = 1",
        "update passages set start_at = 0, passage_id = 'x'",
        "update passages set passage_id = 'y'; update documents set text_hash = 'z'",
    ):
        with open_workspace(workspace) as con:
            con.execute(change)
        (link,) = verify(workspace)
        assert link.broken == 1 and link.closed == 0 and link.details


@pytest.mark.parametrize("how", ["changed", "gone", "version"])
def test_a_file_that_is_another_now_is_no_damage(
    tmp_path: Path, model: ResolvedModel, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (tmp_path / "a.txt").write_text("One. Two.")
    workspace = ingest(tmp_path, model, "r")
    if how == "changed":
        (tmp_path / "a.txt").write_text("Other.")
    elif how == "gone":
        (tmp_path / "a.txt").unlink()
    else:
        newer = kinds.DocumentReader(kinds.READERS["text"].read, 2)
        monkeypatch.setitem(kinds.READERS, "text", newer)
    (link,) = verify(workspace)
    assert (link.broken, link.closed) == (0, 1) and how in link.details[0]


def test_retired_documents_are_not_walked(tmp_path: Path, model: ResolvedModel) -> None:
    (tmp_path / "a.txt").write_text("One. Two.")
    ingest(tmp_path, model, "r")
    (tmp_path / "a.txt").write_text("Three.")
    assert verify(ingest(tmp_path, model, "later")) == [Link("../a.txt", "passages", 1, 0)]


def test_gc_takes_no_passage_not_even_of_an_earlier_run(
    tmp_path: Path, model: ResolvedModel
) -> None:
    (tmp_path / "a.txt").write_text("One. Two.")
    ingest(tmp_path, model, "first")
    (tmp_path / "a.txt").write_text("Other.")
    workspace = ingest(tmp_path, model, "second")
    query = "select run_id, text from passages join run_documents using (cut_id) order by all"
    remove_leftovers(
        workspace, RemovalOptions(date.today(), lost=True, requests=True, backups=True)
    )
    with read_tables(workspace) as con:
        kept = con.execute(query).fetchall()
    assert kept == [("first", "One. Two."), ("second", "Other.")]
    assert verify(workspace) == [Link("../a.txt", "passages", 1, 0)]
