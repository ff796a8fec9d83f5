from pathlib import Path

import pytest

from pipeline.handoff.promises import PromisedRow, read_promises
from scorers.measures.models.language_model import read_tokenizer
from scorers.measures.reading.chat_format import render
from storage.exports_manifest import IGNORED, read_manifest
from tests.exports_of_every_shape import SHAPES, answer, export_of_every_shape, user

TWO = {"two": ([user("a?"), answer("b."), user("c?"), answer("d.", weight=0.5)], ())}


def promises(family: str, folder: Path, *, joined: bool) -> list[PromisedRow]:
    export = export_of_every_shape(family, folder, TWO)
    manifest = read_manifest(export)
    tokenizer = read_tokenizer(folder / "model")
    return list(read_promises(export, manifest, "train", tokenizer, joined=joined))


def test_turns_in_place_are_one_row_where_they_may_be(tmp_path: Path) -> None:
    (row,) = promises("qwen2_5", tmp_path, joined=True)
    assert [turn.message for turn in row.turns] == [1, 3]
    assert [turn.weight for turn in row.turns] == [1.0, 0.5]
    assert row.row_id == f"{1:032x}" and row.all_trained and not row.last_alone
    tokenizer = read_tokenizer(tmp_path / "model")
    trained = [token for token in row.labels.tolist() if token != IGNORED]
    assert tokenizer.decode(trained) == "b.<|im_end|>\nd.<|im_end|>\n"
    assert tokenizer.decode(row.input_ids) == row.text
    # The stop ends a turn but for the line break.
    assert [turn.end - turn.stop for turn in row.turns] == [1, 1]


def test_else_each_turn_is_a_row_behind_its_own_prompt(tmp_path: Path) -> None:
    first, second = promises("qwen2_5", tmp_path, joined=False)
    assert [len(row.messages) for row in (first, second)] == [2, 4]
    assert [row.row_id for row in (first, second)] == [f"{1:032x}-1", f"{1:032x}-3"]
    tokenizer = read_tokenizer(tmp_path / "model")
    turns, tools = TWO["two"]
    for row, at in ((first, 1), (second, 3)):
        alone = render(tokenizer, turns, tools, at, "chat")
        assert row.input_ids.tolist() == alone.prompt + alone.response
        assert (row.labels != IGNORED).sum() == len(alone.response)
        assert row.last_alone


def test_a_turn_that_is_written_otherwise_later_is_never_joined(tmp_path: Path) -> None:
    rows = promises("qwen3", tmp_path, joined=True)  # which takes empty thoughts out of the history
    assert [[turn.message for turn in row.turns] for row in rows] == [[1], [3]]
    assert not rows[1].all_trained


def test_another_tokenizer_is_told(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path / "one")
    export_of_every_shape("llama3", tmp_path / "other")
    tokenizer = read_tokenizer(tmp_path / "other" / "model")
    with pytest.raises(ValueError, match="not the one that was counted with"):
        list(read_promises(export, read_manifest(export), "train", tokenizer, joined=True))


def test_every_row_of_an_export_is_promised_once(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path)
    manifest, tokenizer = read_manifest(export), read_tokenizer(tmp_path / "model")
    apart = list(read_promises(export, manifest, "train", tokenizer, joined=False))
    assert len(apart) == manifest.counts("train").rows
    joined = list(read_promises(export, manifest, "train", tokenizer, joined=True))
    assert len(joined) == len(SHAPES)
    loss = [sum(int((row.labels != IGNORED).sum()) for row in rows) for rows in (apart, joined)]
    assert loss[0] == loss[1] == manifest.counts("train").loss_tokens
