"""Before documents are read it is known which are new, and not how many passages they give."""

from pathlib import Path

from pipeline.documents.predict import PlannedDocuments, document_plan_line, plan_documents
from pipeline.documents.settings import DocumentSettings, PassageSettings
from pipeline.documents.stage import FoundDocument, identify_documents, ingest_documents
from scorers.measures.models.loading import ResolvedModel
from storage.workspace import Workspace
from tests.empty_workspace import lay_out
from tests.tiny_models import save_tiny_llama


def found(workspace: Workspace, folder: Path, tokens: int = 16) -> list[FoundDocument]:
    size = PassageSettings(tokens=tokens, overlap=0, least=0)
    block = DocumentSettings(path=str(folder / "*.txt"), passages=size)
    return identify_documents(workspace, [block], "f" * 64)


def test_what_is_read_counts_its_passages_and_what_is_new_its_bytes(tmp_path: Path) -> None:
    model = ResolvedModel("tiny", save_tiny_llama(tmp_path / "model"), "f" * 64)
    workspace = Workspace(tmp_path / "w")
    lay_out(workspace)
    (tmp_path / "a.txt").write_text("One two three. " * 20)
    (tmp_path / "copy.txt").write_text("One two three. " * 20)
    (tmp_path / "empty.txt").write_text("")
    before = plan_documents(workspace, found(workspace, tmp_path))
    assert before == PlannedDocuments(2, 0, 0, 0, 2, bytes_to_read=300), "a copy is read once"
    ingest_documents(workspace, "run", found(workspace, tmp_path), model)
    read = plan_documents(workspace, found(workspace, tmp_path))
    assert (read.files, read.read, read.refused, read.to_read) == (2, 1, 1, 0) and read.passages > 1
    (tmp_path / "b.txt").write_text("Four.")
    after = plan_documents(workspace, found(workspace, tmp_path))
    assert after == PlannedDocuments(3, 1, read.passages, 1, 1, bytes_to_read=5)
    # Cut otherwise, what was read is new; what gave no text gives none however it is cut.
    other = plan_documents(workspace, found(workspace, tmp_path, tokens=32))
    assert other == PlannedDocuments(3, 0, 0, 1, 2, bytes_to_read=305)


def test_it_is_said_what_is_not_known() -> None:
    line = document_plan_line(PlannedDocuments(4, 1, 9, 1, 2, 3000))
    assert line == (
        "documents: 4 files, 1 read already (9 passages), 1 that gave no text (see `sluice "
        "quarantine`), 2 to read (3,000 bytes), which takes no model; how many passages they give "
        "is known once `sluice ingest` has read them"
    )
    assert document_plan_line(PlannedDocuments(1, 1, 9, 0, 0, 0)).endswith("(9 passages)")
