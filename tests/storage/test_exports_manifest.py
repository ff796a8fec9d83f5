from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.exports_check import verify_export
from storage.exports_manifest import (
    ExportedFile,
    ExportManifest,
    SourceCounts,
    SplitCounts,
    export_identity,
    hash_file,
    manifest_text,
    read_manifest,
)
from tests.some_model import SOME_MODEL

SHARD = "data/train-00000-of-00001.parquet"


def write_small_export(directory: Path, ids: tuple[str, ...] = ("a", "b")) -> ExportManifest:
    """Two rows of 10 prompt tokens, with 3 and 4 loss tokens."""
    (directory / "data").mkdir(parents=True)
    columns: dict[str, list[object]] = {
        "example_id": list(ids),
        "prompt_tokens": [10, 10],
        "loss_tokens": [3, 4],
        "source": ["s", "s"],
        "license": [None, None],
    }
    pq.write_table(pa.table(columns), directory / SHARD)
    (directory / "train.jsonl").write_text("{}\n{}\n")
    manifest = ExportManifest(
        export_id="",
        name="small",
        selection_id="s1",
        run_id="r1",
        parent=None,
        recipe_hash="h",
        seed=1,
        model=SOME_MODEL,
        max_length=None,
        splits={"train": SplitCounts(rows=2, prompt_tokens=20, loss_tokens=7)},
        sources=(SourceCounts(source="s", license=None, rows=2),),
        files=tuple(describe(directory, name) for name in (SHARD, "train.jsonl")),
        libraries={},
    )
    return store(directory, manifest)


def describe(directory: Path, name: str) -> ExportedFile:
    path = directory / name
    return ExportedFile(path=name, sha256=hash_file(path), bytes=path.stat().st_size, rows=2)


def store(directory: Path, manifest: ExportManifest) -> ExportManifest:
    manifest = manifest.model_copy(update={"export_id": export_identity(manifest)})
    (directory / "manifest.json").write_bytes(manifest_text(manifest))
    return manifest


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = write_small_export(tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert manifest.data_files("train") == (SHARD,)
    assert manifest.data_files("validation") == ()
    assert manifest.counts("validation") == SplitCounts()
    assert verify_export(tmp_path) == []


def test_the_identity_is_of_what_is_trained(tmp_path: Path) -> None:
    manifest = write_small_export(tmp_path)
    for same in ({"run_id": "r2"}, {"name": "n"}, {"libraries": {"trl": "2"}}):
        assert export_identity(manifest.model_copy(update=same)) == manifest.export_id
    other_rows = manifest.files[1].model_copy(update={"sha256": "0"})
    for other in (
        {"selection_id": "s2"},
        {"max_length": 5},
        {"model": manifest.model.model_copy(update={"tokenizer_fingerprint": "u"})},
        {"files": (manifest.files[0], other_rows)},
    ):
        assert export_identity(manifest.model_copy(update=other)) != manifest.export_id


def test_no_manifest_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a finished export"):
        read_manifest(tmp_path)
    assert [problem.path for problem in verify_export(tmp_path)] == ["manifest.json"]


def test_an_unknown_field_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_small_export(tmp_path)
    fields = orjson.loads((tmp_path / "manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_bytes(orjson.dumps({**fields, "colour": "red"}))
    with pytest.raises(ValueError, match="colour"):
        read_manifest(tmp_path)


def test_one_changed_byte_is_found(tmp_path: Path) -> None:
    write_small_export(tmp_path)
    (tmp_path / "train.jsonl").write_text("{}\n[]\n")
    (problem,) = verify_export(tmp_path)
    assert problem.path == "train.jsonl" and "SHA-256" in problem.detail


def test_missing_longer_and_foreign_files_are_found(tmp_path: Path) -> None:
    write_small_export(tmp_path)
    with (tmp_path / SHARD).open("ab") as file:
        file.write(b"\n")
    (tmp_path / "train.jsonl").unlink()
    (tmp_path / "data" / "train-extra.parquet").touch()
    found = {problem.path: problem.detail for problem in verify_export(tmp_path)}
    assert found["train.jsonl"] == "is missing"
    assert "bytes, expected" in found[SHARD]
    assert found["data/train-extra.parquet"] == "is not in the manifest"


def test_a_manifest_that_counts_wrongly_is_found(tmp_path: Path) -> None:
    manifest = write_small_export(tmp_path)
    wrong = {
        "splits": {"train": SplitCounts(rows=2, prompt_tokens=20, loss_tokens=8)},
        "sources": (SourceCounts(source="s", license="mit", rows=2),),
        "files": (manifest.files[0], manifest.files[1].model_copy(update={"rows": 3})),
    }
    store(tmp_path, manifest.model_copy(update=wrong))
    text = "; ".join(map(str, verify_export(tmp_path)))
    assert "loss_tokens=7" in text and "loss_tokens=8" in text
    assert "rows for each source" in text
    assert "train.jsonl: has 2 lines, the manifest promises 3" in text


def test_an_edited_promise_no_longer_fits_the_id(tmp_path: Path) -> None:
    manifest = write_small_export(tmp_path)
    edited = manifest.model_copy(update={"max_length": 9})
    (tmp_path / "manifest.json").write_bytes(manifest_text(edited))
    assert "export_id does not follow" in str(verify_export(tmp_path)[0])


def test_an_example_that_stands_in_it_twice_is_named(tmp_path: Path) -> None:
    write_small_export(tmp_path, ids=("a", "a"))
    assert [str(problem) for problem in verify_export(tmp_path)] == [
        "data: 1 examples stand in it more than once: a"
    ]
