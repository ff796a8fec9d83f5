"""Evaluation sets: what is read as an item, what is listed as unreadable, and that none changes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.contamination.evaluations import first_rows, read_evaluations
from pipeline.contamination.settings import EvaluationSettings
from pipeline.ingest.readers import UnreadableSourceError, source_fingerprint


def write(path: Path, rows: Sequence[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_named_fields_are_prompt_and_answer(tmp_path: Path) -> None:
    rows = [
        {"text": "Add.", "gold": 4},
        {"text": ["Which?", "(a) one"], "gold": None},
        {"text": "", "gold": "x"},
        {"text": {"a": 1}},
        "not json",
    ]
    file = write(tmp_path / "set.jsonl", rows)
    before = file.read_bytes(), file.stat().st_mtime_ns
    (found,) = read_evaluations([EvaluationSettings(path=str(file), prompt="text", answer="gold")])
    assert [(i.position, i.prompt, i.answer) for i in found.items] == [
        (1, "Add.", "4"),
        (2, "Which?\n(a) one", ""),
    ]
    assert [(u.evaluation, u.item, u.reason) for u in found.unreadable] == [
        ("set", 3, "missing_key"),
        ("set", 4, "wrong_type"),
        ("set", 5, "invalid_json"),
    ]
    assert found.rows == 5 and found.content_hash == source_fingerprint(file)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_shapes_are_recognised_as_those_of_sources(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
    ]
    rows = [{"question": "Q", "answer": "A"}, {"messages": turns}, {"prompt": "only"}, {"x": 1}]
    file = write(tmp_path / "set.jsonl", rows)
    (found,) = read_evaluations([EvaluationSettings(path=str(file))])
    texts = [(item.prompt, item.answer) for item in found.items]
    assert texts == [("Q", "A"), ("One?\n\n1\n\nTwo?", "2"), ("only", "")]
    assert [(u.item, u.reason) for u in found.unreadable] == [(4, "unknown_shape")]


def test_every_file_of_a_folder_is_a_set(tmp_path: Path) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    for name in ("b", "a"):
        write(folder / f"{name}.jsonl", [{"prompt": name}])
    found = read_evaluations([EvaluationSettings(path=str(folder), name="mine")])
    assert [(each.name, each.items[0].evaluation) for each in found] == [
        ("mine/a", 0),
        ("mine/b", 1),
    ]


def test_sets_that_cannot_be_read_end_it(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match="there is nothing at"):
        read_evaluations([EvaluationSettings(path=str(tmp_path / "none.jsonl"))])
    file = write(tmp_path / "set.jsonl", [{"x": 1}])
    with pytest.raises(UnreadableSourceError, match=r"no row of .* unknown_shape.*`prompt`"):
        read_evaluations([EvaluationSettings(path=str(file))])
    path = str(write(tmp_path / "good.jsonl", [{"prompt": "p"}]))
    with pytest.raises(UnreadableSourceError, match="two evaluation sets are called 'mine'"):
        read_evaluations([EvaluationSettings(path=path, name="mine")] * 2)


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    paths = []
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        paths.append(str(write(tmp_path / folder / "test.jsonl", [{"prompt": folder}])))
    found = read_evaluations([EvaluationSettings(path=path) for path in paths])
    assert [each.name for each in found] == ["test", paths[1]]


def test_the_first_rows_tell_the_fields(tmp_path: Path) -> None:
    file = write(tmp_path / "set.jsonl", ["bad", *({"n": n} for n in range(9))])
    rows = first_rows(EvaluationSettings(path=str(file)), str(file), 3)
    assert [row.value for row in rows] == [{"n": 0}, {"n": 1}]
