from pathlib import Path

import orjson
import pytest

from pipeline.export import shards
from pipeline.export.reading import read_exported_rows, rows_loaded_otherwise
from storage.exports_manifest import read_manifest
from tests.exports_of_every_shape import SHAPES, export_of_every_shape

CALLS = {name: SHAPES[name] for name in ("plain", "call_with_text", "tools_not_called")}


def test_rows_are_loaded_as_they_were_exported(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path)
    manifest = read_manifest(export)
    assert rows_loaded_otherwise(export, manifest) == []
    rows = list(read_exported_rows(export, manifest, "train"))
    assert len(rows) == manifest.counts("train").rows
    assert rows[0]["prompt"] == [{"role": "user", "content": "two and two?"}]
    assert rows[0]["tools"] is None


def test_a_number_that_the_loader_reads_as_another_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shards, "encode_objects", lambda values, owner: [orjson.dumps(value) for value in values]
    )
    export = export_of_every_shape("qwen2_5", tmp_path, CALLS)
    # 3.699e-06 written as Python writes it
    assert rows_loaded_otherwise(export, read_manifest(export)) == [f"{2:032x}"]


def test_a_row_that_is_loaded_too_many_is_found(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path, CALLS)
    manifest = read_manifest(export)
    (name,) = manifest.data_files("train")
    more = export / name.replace("00000-of", "00001-of")
    more.write_bytes((export / name).read_bytes())
    assert len(rows_loaded_otherwise(export, manifest)) == 3
