"""Rejected answers: to the same prompt, dropped for a wanted reason, whatever the order of rows."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from transformers import LlamaForCausalLM
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from fine_tune.trainer import prepare_without_model
from pipeline.export.files import write_export
from pipeline.export.reading import read_exported_rows, rows_loaded_otherwise
from pipeline.export.rejected import DroppedAnswer, choose_rejected
from pipeline.export.rows import RejectedAnswer, check_row
from pipeline.export.settings import ExportSettings
from pipeline.export.shards import REJECTED_COLUMNS, SCHEMA
from pipeline.export.stage import Exported
from pipeline.export.verify import verify_workspace
from storage.database import read_workspace
from storage.explain import read_explanation
from storage.exports_check import verify_export
from storage.exports_manifest import PREFERENCES_FOLDER, SPLITS, RejectedCounts, read_manifest
from storage.runs import read_counts
from tests import exported_workspace
from tests.exported_workspace import export_workspace, talk
from tests.fine_tune.tiny import byte_tokenizer, facts_of
from tests.pipeline.export.test_files import make_rows
from tests.some_model import SOME_MODEL

BELOW = ExportSettings(rejected=("below_threshold",))
LONG = {
    "method": "threshold",
    "score": "response_length",
    "at_least": 3,
}  # tokens, the end of turn among them


def export_with(
    folder: Path,
    more: Sequence[object],
    settings: ExportSettings,
    monkeypatch: pytest.MonkeyPatch,
    *,
    filters: Sequence[Mapping[str, object]] = (LONG,),
    held_out: float = 0,
) -> tuple[Any, Exported]:
    """An export of a pool that has more rows than usual; answers of one word are dropped."""
    usual = exported_workspace.write_sources

    def write(where: Path) -> list[Path]:
        files = usual(where)
        with files[0].open("a") as lines:
            lines.writelines("\n" + json.dumps(row) for row in more)
        return files

    monkeypatch.setattr(exported_workspace, "write_sources", write)
    return export_workspace(folder, held_out, filters, export=settings)


def exported(folder: Path) -> list[dict[str, Any]]:
    return list(read_exported_rows(folder, read_manifest(folder), "train"))


def test_the_reason_named_first_wins_and_a_lot_among_equals() -> None:
    dropped = [("k", f"{n:032x}", "below_threshold") for n in range(40)]
    dropped += [("k", "w", "wrong_answer"), ("m", "x", "wrong_answer")]
    both = choose_rejected(dropped, ("wrong_answer", "below_threshold"), 0)
    assert both == {
        "k": DroppedAnswer("w", "wrong_answer"),
        "m": DroppedAnswer("x", "wrong_answer"),
    }
    drawn = [choose_rejected(dropped, ("below_threshold", "wrong_answer"), seed) for seed in (0, 1)]
    assert {each["k"].reason for each in drawn} == {"below_threshold"}
    assert drawn[0]["k"] != drawn[1]["k"], "the seed draws"
    for seed in range(3):
        shuffled = random.Random(seed).sample(dropped, len(dropped))
        assert choose_rejected(shuffled, ("below_threshold", "wrong_answer"), 0) == drawn[0]


def test_a_dropped_answer_to_the_same_prompt_stands_beside_the_kept_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [
        {"prompt": "20 10", "completion": "99"},
        {"prompt": "21 10", "completion": "98"},  # of which one is kept, and below the same again
        talk("21 10", "98", "97"),  # the same answer, and a turn that is not trained
        talk("11", "96"),  # to a prompt of which two turns are trained
        {"prompt": "77", "completion": "76"},  # the only answer
    ]
    run, made = export_with(tmp_path, more, BELOW, monkeypatch)
    rows = {row["prompt"][-1]["content"]: row for row in exported(made.path)}
    beside = {prompt: row for prompt, row in rows.items() if row["rejected_answer"] is not None}
    assert beside.keys() == {"20 10", "21 10"}
    row = beside["20 10"]
    assert row["completion"] == [{"role": "assistant", "content": "20 11"}]
    assert row["rejected_answer"] == [{"role": "assistant", "content": "99"}]
    assert row["rejected_reason"] == "below_threshold" and row["rejected_tokens"] >= 1
    assert beside["21 10"]["rejected_answer"][0]["content"] == "98"
    with read_workspace(run.workspace) as con:
        stored = dict(con.execute("select example_id, response from examples").fetchall())
        notes = read_counts(con, run.run_id)[-1].notes
    assert stored[row["rejected_id"]] == "99"
    assert list(notes) == [f"2 of {len(rows) - 1} have a rejected answer beside them"]
    tokens = sum(each["rejected_tokens"] for each in beside.values())
    assert made.manifest.rejected == {"train": RejectedCounts(rows=2, loss_tokens=tokens)}
    assert verify_export(made.path) == [] and rows_loaded_otherwise(made.path, made.manifest) == []
    assert "2 rows have a rejected answer." in (made.path / "README.md").read_text()


def test_without_the_setting_nothing_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [{"prompt": "20 10", "completion": "99"}]
    _, made = export_with(tmp_path, more, ExportSettings(), monkeypatch)
    (name,) = made.manifest.data_files("train")
    assert pq.read_schema(made.path / name).names == SCHEMA.names
    assert not made.manifest.rejected
    assert "rejected" not in ExportSettings().model_dump()


def test_a_count_that_does_not_hold_is_found(tmp_path: Path) -> None:
    answer = RejectedAnswer("f" * 32, {"role": "assistant", "content": "Sün.", "x": 3e-6}, 3, "r")
    rows = make_rows(4)
    rows[1] = replace(rows[1], rejected=answer)
    facts = replace(facts_of(SOME_MODEL), rejected=("r",))
    manifest = write_export(tmp_path / "export", rows, facts)
    assert manifest.rejected == {"train": RejectedCounts(rows=1, loss_tokens=3)}
    (found,) = [row for row in exported(tmp_path / "export") if row["rejected_answer"]]
    assert found["rejected_answer"] == [answer.answer] and found["rejected_id"] == "f" * 32
    (name,) = manifest.data_files("train")
    assert pq.read_schema(tmp_path / "export" / name).names == [
        *SCHEMA.names,
        *(each.name for each in REJECTED_COLUMNS),
    ]
    path = tmp_path / "export" / "manifest.json"
    forged = orjson.loads(path.read_bytes())
    forged["rejected"]["train"]["rows"] = 2
    path.write_bytes(orjson.dumps(forged))
    (problem,) = verify_export(tmp_path / "export")
    assert "rows=1 loss_tokens=3 rejected answers, the manifest promises rows=2" in str(problem)


def test_a_rejected_answer_that_is_too_long_is_refused() -> None:
    (row,) = make_rows(1)
    answer = RejectedAnswer("f", {"role": "assistant", "content": "x"}, 9, "r")
    row = replace(row, rejected=answer)
    check_row(row, row.prompt_tokens + 9)
    with pytest.raises(ValueError, match=f"{row.prompt_tokens + 9} tokens, more than max_length"):
        check_row(row, row.prompt_tokens + 8)


PAIRS = [
    {"prompt": "60", "chosen": "61", "rejected": "62"},
    {"prompt": "60", "chosen": "62", "rejected": "63"},  # what another pair rejects
    {"prompt": "20 10", "chosen": "64", "rejected": "20 11"},  # and what is a plain row too
    {"prompt": "65", "chosen": "66", "rejected": " ".join(["67"] * 2000)},  # longer than is read
]


def test_the_rejected_answer_of_a_pair_stands_beside_its_chosen_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ExportSettings(rejected=("rejected_answer",))
    run, made = export_with(tmp_path, PAIRS, wanted, monkeypatch, filters=())
    rows = exported(made.path)
    beside = {
        (row["prompt"][0]["content"], row["completion"][0]["content"]): (
            row["rejected_answer"] and row["rejected_answer"][0]["content"]
        )
        for row in rows
    }
    assert beside["60", "61"] == "62" and beside["60", "62"] == "63"
    assert beside["20 10", "64"] == "20 11" and beside["20 10", "20 11"] is None
    assert beside["65", "66"] is None
    assert ("60", "63") not in beside, "what pairs reject is no row of its own"
    assert {row["rejected_reason"] for row in rows} == {"rejected_answer", None}
    with read_workspace(run.workspace) as con:
        ids = dict(con.execute("select response, example_id from examples").fetchall())
        counts = read_counts(con, run.run_id)
        told = read_explanation(con, ids["63"], run.run_id)
        chosen = read_explanation(con, ids["62"], run.run_id)
        drawn = con.execute("select example_id from selection_rows").fetchall()
        links = verify_workspace(con, run.workspace)
    pairs = list(read_exported_rows(made.path, made.manifest, "train", PREFERENCES_FOLDER))
    assert sorted((p["chosen"][0]["content"], p["rejected"][0]["content"]) for p in pairs) == [
        ("61", "62"),
        ("62", "63"),
        ("64", "20 11"),
    ]
    assert all(p["rejected_id"] == ids[p["rejected"][0]["content"]] for p in pairs)
    assert rows_loaded_otherwise(made.path, made.manifest) == []
    assert (counts[0].rows_in, counts[0].added) == (20, 4)
    assert [each["reason"] for each in told["decisions"]][-1] == "rejected_answer"
    assert told["decisions"][-1]["because_of"] == ids["62"]
    assert [(e["position"], e["rejected"], e["paired_with"]) for e in told["sources"]] == [
        (15, True, ids["62"])
    ]
    assert [(e["position"], e["rejected"], e["paired_with"]) for e in chosen["sources"]] == [
        (14, True, ids["61"]),
        (15, False, ids["63"]),
    ]
    assert (ids["63"],) not in drawn, "no control has it"
    assert {each.link for each in links} >= {"rejected", "sources"}
    assert [(each.link, each.details) for each in links if each.broken or each.closed] == []


def test_held_out_rows_have_the_rejected_answers_of_their_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [
        {"prompt": f"{n} 60", "chosen": f"{n} 61", "rejected": f"{n} 62"} for n in range(30, 50)
    ]
    wanted = ExportSettings(rejected=("rejected_answer",))
    _, made = export_with(tmp_path, pairs, wanted, monkeypatch, filters=(), held_out=0.3)
    for split in SPLITS:
        found = list(read_exported_rows(made.path, made.manifest, split))
        of_pairs = [row for row in found if row["prompt"][0]["content"].endswith(" 60")]
        assert of_pairs, split
        for row in of_pairs:
            assert row["rejected_answer"][0]["content"] == row["prompt"][0]["content"][:2] + " 62"


@pytest.mark.slow
def test_trls_own_trainer_of_preferences_reads_the_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ExportSettings(rejected=("rejected_answer",))
    _, made = export_with(tmp_path, PAIRS, wanted, monkeypatch, filters=())
    tokenizer = byte_tokenizer()
    rows: Any = load_dataset(
        str(made.path), "preferences", split="train", cache_dir=str(tmp_path / "cache")
    )
    model = LlamaForCausalLM.from_pretrained(tmp_path / "model")
    model.resize_token_embeddings(len(tokenizer))
    args = DPOConfig(output_dir=str(tmp_path / "trl"), use_cpu=True, bf16=False, report_to="none")
    trainer: Any = DPOTrainer(
        model=model, args=args, train_dataset=rows, processing_class=tokenizer
    )
    found = [
        [tokenizer.decode(row[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
        for row in trainer.train_dataset
    ]
    begin, end = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"
    told = [("60", "61", "62"), ("60", "62", "63"), ("20 10", "64", "20 11")]
    expected = [[begin.format(p), c + end, r + end] for p, c, r in told]
    assert sorted(found) == sorted(expected)


@pytest.mark.slow
def test_trl_reads_the_completion_and_never_the_rejected_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [{"prompt": "20 10", "completion": "99"}]
    _, made = export_with(tmp_path, more, BELOW, monkeypatch)
    byte_tokenizer().save_pretrained(tmp_path / "bytes")
    cache = str(tmp_path / "cache")
    rows: Any = load_dataset(str(made.path), split="train", cache_dir=cache)
    assert any(rows["rejected_answer"])
    beside = ["rejected_answer", "rejected_id", "rejected_reason", "rejected_tokens"]
    given = prepare_without_model(rows, tmp_path / "bytes", None)
    plain = prepare_without_model(rows.remove_columns(beside), tmp_path / "bytes", None)
    for name in ("input_ids", "labels"):
        assert given[name][:] == plain[name][:]


def test_no_column_has_a_name_by_which_trl_tells_what_rows_are() -> None:
    # It looks at one of the row's keys of these, whichever comes first: of a null it makes a text.
    names = {each.name for each in REJECTED_COLUMNS}
    assert not names & {"prompt", "chosen", "rejected", "completion", "messages"}
