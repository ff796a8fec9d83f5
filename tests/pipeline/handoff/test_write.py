import json
import shlex
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.manifest import NoHandoffError, read_handoff
from pipeline.handoff.trainer import Form
from pipeline.handoff.write import LOST_FILE, PREDICTION_FILE, HandoffError, Wish, write_handoff
from storage.exports_manifest import read_manifest
from tests.exports_of_every_shape import SHAPES, export_of_every_shape

PLAIN = {name: SHAPES[name] for name in ("plain", "dialogue", "system")}


def wish(folder: Path, trainer: str, form: Form = "conversations", *, lost: bool = False) -> Wish:
    return Wish(folder / "export", TRAINERS[trainer], form, folder / "model", "org/model", lost)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_where_a_row_would_be_lost_only_the_lists_are_written(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path)
    written = write_handoff(wish(tmp_path, "axolotl"), tmp_path / "out")
    assert not written.complete and written.counts == {}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        PREDICTION_FILE, LOST_FILE, "handoff.json"
    }  # fmt: skip
    (lost,) = lines(tmp_path / "out" / LOST_FILE)
    assert lost["row_id"] == f"{list(SHAPES).index('half_weight') + 1:032x}"
    assert "0.5" in str(lost["reason"])
    assert len(lines(tmp_path / "out" / PREDICTION_FILE)) == len(SHAPES) + 1 == written.rows


def test_what_may_be_lost_is_left_out_and_named(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path)
    written = write_handoff(wish(tmp_path, "axolotl", lost=True), tmp_path / "out")
    assert written.complete
    assert written.counts["train"].rows == len(SHAPES) - 1
    held = lines(tmp_path / "out" / "data" / "train.jsonl")
    kept = [row for row in lines(tmp_path / "out" / PREDICTION_FILE) if row["outcome"] == "kept"]
    ids = [row["row_id"] for row in kept if row["split"] == "train"]
    assert [row["row_id"] for row in held] == ids  # in the export's order
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "axolotl train axolotl.yaml" in readme and "1 rows: dropped" in readme


def test_the_counts_are_of_what_the_trainer_will_hold(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path, PLAIN)
    promised = read_manifest(export).counts("train")
    written = write_handoff(wish(tmp_path, "trl", "tokens"), tmp_path / "out")
    assert written.counts["train"].loss_tokens == promised.loss_tokens
    rows = pq.read_table(tmp_path / "out" / "data" / "train.parquet").to_pylist()
    trained = [[label for label in row["labels"] if label != -100] for row in rows]
    assert sum(map(len, trained)) == promised.loss_tokens
    assert all(len(row["input_ids"]) == len(row["attention_mask"]) for row in rows)


def test_twice_gives_the_same_bytes_and_replaces_a_handoff_alone(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, PLAIN)
    first = write_handoff(wish(tmp_path, "llamafactory"), tmp_path / "out")
    assert write_handoff(wish(tmp_path, "llamafactory"), tmp_path / "out") == first
    (tmp_path / "mine").mkdir()
    with pytest.raises(HandoffError, match="holds no handoff"):
        write_handoff(wish(tmp_path, "llamafactory"), tmp_path / "mine")
    with pytest.raises(NoHandoffError):
        read_handoff(tmp_path / "mine")


def test_what_a_training_left_is_never_removed(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, PLAIN)
    write_handoff(wish(tmp_path, "llamafactory"), tmp_path / "out")
    trained = tmp_path / "out" / "output" / "adapter.safetensors"
    trained.parent.mkdir()
    trained.write_text("weights")
    with pytest.raises(HandoffError, match=r"output/adapter\.safetensors among it"):
        write_handoff(wish(tmp_path, "llamafactory"), tmp_path / "out")
    assert trained.read_text() == "weights"


def test_a_handoff_is_not_replaced_by_the_refusal_of_another(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path)
    write_handoff(wish(tmp_path, "axolotl", lost=True), tmp_path / "out")
    with pytest.raises(HandoffError, match="1 of 21 rows would be lost: dropped"):
        write_handoff(wish(tmp_path, "axolotl"), tmp_path / "out")
    assert read_handoff(tmp_path / "out").complete


def test_paths_are_quoted_for_the_shell(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, PLAIN)
    hostile = "/my models/$(touch x)"
    for name in ("verl", "open-instruct"):
        own = wish(tmp_path, name)
        write_handoff(replace(own, model=hostile), tmp_path / name)
        words = shlex.split((tmp_path / name / "train.sh").read_text(), comments=True)
        assert any(word.endswith(hostile) for word in words), name


def test_verl_is_given_a_batch_that_leaves_no_row_over(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, {name: SHAPES[name] for name in ("plain", "system")})
    write_handoff(wish(tmp_path, "verl"), tmp_path / "out")
    # two rows to train on, one to validate
    assert "data.train_batch_size=1 " in (tmp_path / "out" / "train.sh").read_text()


def test_a_damaged_export_or_another_template_is_told_before_work(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path / "one", PLAIN)
    export_of_every_shape("llama3", tmp_path / "other", PLAIN)
    own = wish(tmp_path / "one", "verl")
    other = Wish(export, own.trainer, own.form, tmp_path / "other" / "model", "m", allow_lost=False)
    with pytest.raises(HandoffError, match="chat template is not the one"):
        write_handoff(other, tmp_path / "out")
    (export / "train.jsonl").write_text("")
    with pytest.raises(HandoffError, match="not whole"):
        write_handoff(own, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_turns_are_rows_of_their_own_where_one_of_any_row_is_read_only(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path / "all", PLAIN)
    written = write_handoff(wish(tmp_path / "all", "llamafactory"), tmp_path / "a")
    assert written.rows == 4 and "mask_history: false" in (tmp_path / "a/train.yaml").read_text()
    some = {**PLAIN, "untrained_turn": SHAPES["untrained_turn"]}
    export_of_every_shape("qwen2_5", tmp_path / "some", some)
    written = write_handoff(wish(tmp_path / "some", "llamafactory"), tmp_path / "b")
    assert written.rows == 7 and "mask_history: true" in (tmp_path / "b/train.yaml").read_text()
