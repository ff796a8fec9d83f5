"""Plain files against evaluation sets: the same findings, and nothing left behind."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.contamination import check_files as module
from pipeline.contamination.check_files import check_files
from pipeline.contamination.settings import CheckSettings
from pipeline.ingest.readers import UnreadableSourceError

LONG = "Ann has seven red pears and buys five green ones. How many pears has she got now?"


def write(path: Path, rows: Sequence[Any]) -> str:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return str(path)


def settings_for(tmp_path: Path, **more: object) -> CheckSettings:
    items = [{"question": LONG, "answer": "12"}, {"question": "Why?", "answer": "So."}]
    path = write(tmp_path / "eval.jsonl", items)
    return CheckSettings.model_validate({"against": [{"path": path}], **more})


def test_rows_are_named_by_file_and_line(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    one = write(tmp_path / "one.jsonl", ["", {"prompt": "x", "completion": LONG}, "{", {"a": 1}])
    two = write(tmp_path / "two.jsonl", [{"instruction": "why", "output": "I cannot say."}])
    report, unreadable = check_files([one, two], settings)
    assert [(hit.row, hit.item, hit.matched) for hit in report.hits] == [
        (f"{one}:2", 1, "prompt"),
        (f"{two}:1", 2, "prompt"),
    ]
    assert report.rows == 2 and unreadable == {"invalid_json": 1, "unknown_shape": 1}
    assert report.counts == {"eval": (2, 2, 2)} and report.found == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "eval.jsonl",
        "one.jsonl",
        "two.jsonl",
    ]


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path)
    rows = [{"prompt": LONG if n % 3 else "Why?", "completion": str(n)} for n in range(10)]
    path = write(tmp_path / "rows.jsonl", rows)
    whole = check_files([path], settings)
    assert whole[0].found == 10
    monkeypatch.setattr(module, "BLOCK_ROWS", 3)
    assert check_files([path], settings) == whole


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match="nothing at"):
        check_files([str(tmp_path / "none.jsonl")], settings_for(tmp_path))
    with pytest.raises(ValueError, match="the check of a recipe only"):
        check_files([], settings_for(tmp_path, semantic={}))
