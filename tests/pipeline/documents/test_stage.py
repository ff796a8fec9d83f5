"""Files become passages, each known by its content; a file that gives none costs itself alone."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.documents import kinds, stage
from pipeline.documents.settings import DocumentSettings, PassageSettings
from pipeline.documents.stage import identify_documents, ingest_documents
from pipeline.documents.tokenizer import load_token_starts
from pipeline.extras import MissingExtraError
from pipeline.ingest.rows import UnreadableSourceError
from scorers.measures.models.loading import ResolvedModel
from storage.database import read_workspace
from storage.documents import count_documents, list_quarantined_documents
from storage.workspace import Workspace
from tests.tiny_models import save_tiny_llama

SMALL = PassageSettings(tokens=16, overlap=4, least=4)
TEXT = "One two three four five. Six seven eight nine ten.\n\nEleven twelve. " + "More words. " * 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    folder = save_tiny_llama(tmp_path_factory.mktemp("tiny"))
    return ResolvedModel("tiny", folder, "f" * 64)


def ingested(
    folder: Path,
    model: ResolvedModel,
    run: str = "run",
    path: str = "docs",
    **changes: Any,  # noqa: ANN401
) -> list[tuple[Any, ...]]:
    """The passages of a run over the documents of a folder: path, id, offsets, text."""
    workspace = Workspace(folder / "w")
    block = DocumentSettings(path=path, **{"passages": SMALL, **changes}).placed(folder)
    found = identify_documents(workspace, [block], model.fingerprint)
    ingest_documents(workspace, run, found, model)
    with read_workspace(workspace) as con:
        return con.execute(
            "select path, passage_id, start_at, end_at, text, headings from passages "
            "join run_documents using (cut_id) where run_id = ? order by path, position",
            [run],
        ).fetchall()


def write(folder: Path, **files: str | bytes) -> None:
    (folder / "docs").mkdir(exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / "docs" / name.replace("__", ".")).write_bytes(data)


def quarantined(folder: Path, run: str = "run") -> dict[str, str]:
    with read_workspace(Workspace(folder / "w")) as con:
        return {Path(path).name: reason for path, reason, _ in list_quarantined_documents(con, run)}


def test_passages_are_what_stands_at_their_offsets(tmp_path: Path, model: ResolvedModel) -> None:
    write(tmp_path, a__txt=TEXT, b__md="# Head\n\n" + TEXT)
    rows = ingested(tmp_path, model)
    assert [row[0] for row in rows] == ["../docs/a.txt"] * 2 + ["../docs/b.md"] * 2
    for path, _, start, end, text, headings in rows:
        whole = (tmp_path / "w" / path).read_text()
        assert whole[start:end] == text
        assert headings == (["Head"] if path.endswith("md") else [])


def test_ids_are_of_content_and_not_of_place_or_name(tmp_path: Path, model: ResolvedModel) -> None:
    write(tmp_path, a__txt=TEXT)
    first = [row[1] for row in ingested(tmp_path, model)]
    other = tmp_path / "elsewhere"
    other.mkdir()
    write(other, renamed__txt=TEXT)
    assert [row[1] for row in ingested(other, model)] == first
    (_, known, start, end, text, _) = ingested(tmp_path, model)[0]
    content = [hashlib.sha256(TEXT.encode()).hexdigest(), start, end, text]
    canonical = json.dumps(content, separators=(",", ":")).encode()
    assert known == hashlib.sha256(canonical).hexdigest()[:32]


def test_what_is_there_is_not_read_again(
    tmp_path: Path, model: ResolvedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a__txt=TEXT, b__txt="\0bad", c__xyz="?")
    first = ingested(tmp_path, model)
    monkeypatch.setattr(stage, "load_token_starts", None)  # would fail if it were called
    monkeypatch.setattr(stage, "read_document", None)
    assert ingested(tmp_path, model, run="again") == first
    assert quarantined(tmp_path, "again") == {"b.txt": "not_text", "c.xyz": "unknown_kind"}


def test_a_changed_or_gone_file_retires_its_passages(tmp_path: Path, model: ResolvedModel) -> None:
    write(tmp_path, a__txt=TEXT, b__txt="Other words here.")
    ingested(tmp_path, model)
    write(tmp_path, a__txt="New words now.")
    (tmp_path / "docs" / "b.txt").unlink()
    assert [row[4] for row in ingested(tmp_path, model, run="later")] == ["New words now."]
    assert len(ingested(tmp_path, model, run="later")) == 1


def test_a_bad_file_costs_itself_alone_and_says_what_to_do(
    tmp_path: Path, model: ResolvedModel
) -> None:
    write(
        tmp_path,
        good__txt=TEXT,
        empty__txt="",
        latin__txt=b"caf\xe9",
        pdf__txt=b"%PDF-1.4",
        picture__png=b"\x89PNG",
        none__txt="\u200b",
    )
    (tmp_path / "docs" / "gone.txt").symlink_to("nothing")
    rows = ingested(tmp_path, model, path="docs/*")
    assert {row[0] for row in rows} == {"../docs/good.txt"}
    assert quarantined(tmp_path) == {
        "empty.txt": "empty",
        "gone.txt": "unreadable",
        "latin.txt": "not_utf8",
        "none.txt": "empty",
        "pdf.txt": "wrong_name",
        "picture.png": "unknown_kind",
    }
    with read_workspace(Workspace(tmp_path / "w")) as con:
        counts = count_documents(con, "run")
        assert counts.files == 7 and counts.passages == len(rows)
        assert sum(counts.quarantined.values()) == 6
        assert all(
            detail.split(": ")[-1] for _, _, detail in list_quarantined_documents(con, "run")
        )


def test_a_file_that_could_not_be_opened_is_tried_again(
    tmp_path: Path, model: ResolvedModel
) -> None:
    write(tmp_path)
    (tmp_path / "docs" / "a.txt").symlink_to("later.xyz")
    assert ingested(tmp_path, model, path="docs/a.txt") == []
    assert quarantined(tmp_path) == {"a.txt": "unreadable"}
    with read_workspace(Workspace(tmp_path / "w")) as con:
        assert "a link to nothing" in list_quarantined_documents(con, "run")[0][2]
    os.mkfifo(tmp_path / "docs" / "later.xyz")
    assert ingested(tmp_path, model, path="docs/a.txt") == []
    with read_workspace(Workspace(tmp_path / "w")) as con:
        assert "is a pipe" in list_quarantined_documents(con, "run")[0][2]
    (tmp_path / "docs" / "later.xyz").unlink()
    (tmp_path / "docs" / "later.xyz").write_text("Here now.")
    assert [row[4] for row in ingested(tmp_path, model, path="docs/a.txt")] == ["Here now."]
    assert quarantined(tmp_path) == {}


def test_a_file_that_changes_while_it_is_read_gives_nothing(
    tmp_path: Path, model: ResolvedModel
) -> None:
    write(tmp_path, a__txt=TEXT)
    workspace = Workspace(tmp_path / "w")
    block = DocumentSettings(path="docs", passages=SMALL).placed(tmp_path)
    found = identify_documents(workspace, [block], model.fingerprint)
    write(tmp_path, a__txt=TEXT + "More.")
    with pytest.raises(UnreadableSourceError, match=r"a\.txt was changed while it was read"):
        ingest_documents(workspace, "run", found, model)
    with read_workspace(workspace) as con:
        assert con.execute("select count(*) from documents").fetchall() == [(0,)]


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, model: ResolvedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a__txt=TEXT)
    small = kinds.DocumentReader(kinds.READERS["text"].read, 1, most_bytes=10)
    monkeypatch.setitem(kinds.READERS, "text", small)
    assert ingested(tmp_path, model) == []
    assert quarantined(tmp_path) == {"a.txt": "too_large"}


def test_a_missing_package_is_named_with_its_command_before_any_work(
    tmp_path: Path, model: ResolvedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a__txt=TEXT, b__pdf=b"%PDF-1.4")
    lacking = kinds.DocumentReader(kinds.READERS["pdf"].read, 1, "pypdf", "no_such_module")
    monkeypatch.setitem(kinds.READERS, "pdf", lacking)
    with pytest.raises(MissingExtraError, match=r"pypdf: pip install -e '\.\[documents\]'"):
        ingested(tmp_path, model)
    assert not (tmp_path / "w").exists()
    assert ingested(tmp_path, model, path="docs/*.txt")


def test_one_content_at_two_places_is_one_document(tmp_path: Path, model: ResolvedModel) -> None:
    write(tmp_path, a__txt=TEXT, b__txt=TEXT)
    rows = ingested(tmp_path, model)
    assert {row[0] for row in rows} == {"../docs/a.txt", "../docs/b.txt"}
    assert len({row[1] for row in rows}) == len(rows) // 2
    with read_workspace(Workspace(tmp_path / "w")) as con:
        assert con.execute("select count(*) from documents").fetchall() == [(1,)]
        assert count_documents(con, "run").passages == len(rows) // 2


def test_another_size_cuts_the_same_document_anew(tmp_path: Path, model: ResolvedModel) -> None:
    write(tmp_path, a__txt=TEXT)
    small = ingested(tmp_path, model)
    large = ingested(tmp_path, model, run="b", passages=PassageSettings())
    assert [row[4] for row in large] == [TEXT.strip()] != [row[4] for row in small]


def test_files_of_a_folder_are_sorted_and_the_hidden_ones_passed_over(tmp_path: Path) -> None:
    for name in ("b.txt", "sub/a.txt", ".hidden/c.txt", "sub/.d.txt", "a.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "c.txt").mkdir()

    def names(path: str) -> list[str]:
        files = DocumentSettings(path=path).placed(tmp_path).files()
        return [str(Path(file).relative_to(tmp_path)) for file in files]

    assert names(".") == ["a.md", "b.txt", "sub/a.txt"]
    assert names("**/*.txt") == ["b.txt", "sub/a.txt"]
    assert names("a.md") == ["a.md"] and names("no*") == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tokens": 100, "overlap": 51}, "overlap 51 is more than half of tokens 100"),
        ({"tokens": 100, "overlap": 0, "least": 101}, "least 101 is more than tokens 100"),
        ({"tokens": 1}, "greater than or equal to 16"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(given: dict[str, int], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        PassageSettings(**given)


def test_tokens_are_those_of_the_text_alone(model: ResolvedModel) -> None:
    starts = load_token_starts(model)
    assert starts(["1 22  3", ""]) == [[0, 2, 6], []] and starts([]) == []
