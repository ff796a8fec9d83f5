from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from pipeline.export import pretokenized
from pipeline.export.pretokenized import pretokenize_rows
from pipeline.export.rows import ExportRow
from scorers.measures.protocols import Message
from storage.exports_check import verify_export
from storage.exports_manifest import SplitCounts, read_manifest
from tests.fine_tune.tiny import export_with_tokens
from tests.template_families import FAMILIES, Family, turn_rows

TALK: list[Message] = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
    {"role": "assistant", "content": "d", "weight": 0},
    {"role": "user", "content": "e"},
    {"role": "assistant", "content": "f", "weight": 0.5},
]
"""Its second answer is read and not trained, its third counts half."""

NUMBERED = Family(
    "{% for m in messages %}{{ m.role[0] }}{{ m.content }}.{% endfor %}"
    "{% if add_generation_prompt %}a{% endif %}"
)
"""Seven tokens of a user, and of an assistant: its role's letter, its text, a full stop."""


def text_of(family: Family, ids: object) -> str:
    return str(family.tokenizer().decode(list(np.asarray(ids).tolist())))


def test_turns_in_place_are_one_row_with_labels_and_weights_where_they_are_trained() -> None:
    rows = turn_rows(NUMBERED.tokenizer(), TALK)
    (row,) = pretokenize_rows(rows, NUMBERED.tokenizer(), "chat")
    assert text_of(NUMBERED, row.input_ids) == "ua.ab.uc.ad.ue.af."
    trained = row.labels != -100
    assert text_of(NUMBERED, row.labels[trained]) == "b.f."
    assert np.flatnonzero(trained).tolist() == [4, 5, 16, 17]
    assert (row.input_ids[trained] == row.labels[trained]).all()
    assert row.loss_weights.tolist() == [0] * 4 + [1, 1] + [0] * 10 + [0.5, 0.5]
    assert (row.turns, row.turn_ends) == ([1, 5], [6, 18])
    assert (row.example_id, row.group) == (f"{1:032x}", f"{1:032x}")


def test_a_turn_that_is_rewritten_later_is_a_row_of_its_own_in_the_same_group() -> None:
    qwen = FAMILIES["qwen3"]
    rows = turn_rows(qwen.tokenizer(), TALK)
    first, last = pretokenize_rows(rows, qwen.tokenizer(), "chat")
    group = f"{1:032x}"
    assert [(row.example_id, row.group, row.turns) for row in (first, last)] == [
        (f"{group}-1", group, [1]),
        (f"{group}-5", group, [5]),
    ]
    for row, answer in ((first, "b"), (last, "f")):
        said = text_of(qwen, row.labels[row.labels != -100])
        assert said == f"<think>\n\n</think>\n\n{answer}<|im_end|>\n"
    assert "<think>" not in text_of(qwen, last.input_ids[last.labels == -100])


def test_one_turn_is_a_row_with_the_id_of_the_conversation() -> None:
    rows = turn_rows(NUMBERED.tokenizer(), TALK[:2])
    (row,) = pretokenize_rows(rows, NUMBERED.tokenizer(), "chat")
    assert (row.example_id, row.group) == (rows[0].example_id, rows[0].example_id)


@pytest.mark.parametrize("change", [{"prompt_tokens": 5}, {"loss_tokens": 1}])
def test_a_turn_with_other_tokens_than_were_measured_is_refused(change: dict[str, int]) -> None:
    rows = turn_rows(NUMBERED.tokenizer(), TALK)
    changed = [replace(rows[0], **change), rows[1]]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="4 prompt and 2 loss tokens, measured were"):
        pretokenize_rows(changed, NUMBERED.tokenizer(), "chat")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = NUMBERED.tokenizer()
    rows: list[ExportRow] = [
        *turn_rows(tokenizer, TALK, rank=1),
        *turn_rows(tokenizer, TALK[:2], rank=2),
        *turn_rows(tokenizer, TALK[2:], rank=3, split="validation"),
    ]
    return export_with_tokens(tmp_path_factory.mktemp("tokens"), tokenizer, rows)


def test_they_load_beside_the_conversations(export: Path, tmp_path: Path) -> None:
    tokens = load_dataset(str(export), "pretokenized", cache_dir=str(tmp_path))
    rows = load_dataset(str(export), cache_dir=str(tmp_path))
    assert [len(tokens[name]) for name in ("train", "validation")] == [2, 1]
    assert [len(rows[name]) for name in ("train", "validation")] == [3, 1]
    first = tokens["train"][0]
    assert (first["turns"], first["turn_ends"], first["rank"]) == ([1, 5], [6, 18], 1)
    assert (first["prompt_tokens"], first["loss_tokens"]) == (14, 4)
    assert [row["loss_weights"] for row in tokens["validation"]] == [[0] * 10 + [0.5, 0.5]]


def test_the_manifest_counts_what_is_read_once_and_the_same_loss_tokens(export: Path) -> None:
    manifest = read_manifest(export)
    assert manifest.splits["train"] == SplitCounts(rows=3, prompt_tokens=4 + 16 + 4, loss_tokens=6)
    assert manifest.pretokenized["train"] == SplitCounts(
        rows=2, prompt_tokens=14 + 4, loss_tokens=6
    )
    assert manifest.trained() == manifest.pretokenized
    assert verify_export(export) == []


def test_the_card_says_how_they_are_loaded(export: Path) -> None:
    card = (export / "README.md").read_text()
    assert 'load_dataset(folder, "pretokenized")' in card
    assert "path: tokens/train-*" in card and "path: data/train-*" in card
    assert "| train | 2 | 18 | 6 |" in card


def test_the_token_ids_are_hashed_like_every_other_file(export: Path) -> None:
    (shard,) = (export / "tokens").glob("train-*")
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"x")
    (problem,) = verify_export(export)
    shard.write_bytes(content)
    assert problem.path == "tokens/train-00000-of-00001.parquet"
    (export / "tokens" / "train-more.parquet").touch()
    (problem,) = verify_export(export)
    (export / "tokens" / "train-more.parquet").unlink()
    assert str(problem) == "tokens/train-more.parquet: is not in the manifest"


def test_a_row_group_is_written_before_it_grows_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretokenized, "TOKENS_PER_GROUP", 18)
    tokenizer = NUMBERED.tokenizer()  # six tokens a row
    rows = [row for n in range(4) for row in turn_rows(tokenizer, TALK[:2], rank=n + 1)]
    export = export_with_tokens(tmp_path, tokenizer, rows)
    (shard,) = (export / "tokens").glob("train-*")
    groups = pq.read_metadata(shard)
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [3, 1]
