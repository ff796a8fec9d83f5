"""The export stage: every row with its own numbers, in the order of the selection."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.export import stage
from pipeline.export.settings import ExportSettings
from pipeline.export.stage import count_languages, export_rows, identify_model
from pipeline.measuring.measures.token_counts import TokenCounts
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from storage.selections import read_run_selections
from tests.exported_workspace import export_workspace
from tests.stage_runner import count_words, score, start, store_measurement
from tests.tiny_models import CHAT, save_tiny_llama


def test_a_model_is_named_as_the_recipe_names_it_wherever_that_is_run(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path / "model", chat_template=CHAT)
    tokens = TokenCounts(model=str(folder))
    identity = identify_model(tokens, "./model")
    assert identity.reference == "./model"
    assert identity.tokenizer_fingerprint == tokens.key().model_fingerprint


def test_each_row_has_its_own_text_tokens_and_source(tmp_path: Path) -> None:
    for name, lengths in {"even": (2, 4, 6, 8), "odd": (3, 5, 7, 9)}.items():
        rows = [{"prompt": "q " * n, "completion": "a " * (10 - n) + "."} for n in lengths]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "even.jsonl", tmp_path / "odd.jsonl"])
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    top = {"method": "top_k", "score": "response_length", "budget": {"rows": 6}}
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": [top]}), pool)
    with read_workspace(run.workspace) as con:
        selection_id = read_run_selections(con, run.run_id)["choice"].selection_id
        exported = list(export_rows(con, run, selection_id, "train"))
    assert [row.example_id for row in exported] != sorted(row.example_id for row in exported)
    assert [row.rank for row in exported] == [1, 2, 3, 4, 5, 6]
    for n, row in enumerate(exported, start=2):
        assert (row.prompt_tokens, row.loss_tokens) == (n, 11 - n)
        assert len(row.prompt[0]["content"].split()) == n
        assert len(row.completion[0]["content"].split()) == 11 - n
        assert Path(row.source).name == ("odd.jsonl" if n % 2 else "even.jsonl")


def test_each_trained_turn_is_a_row_behind_its_own_prompt(tmp_path: Path) -> None:
    run, exported = export_workspace(tmp_path, held_out=0)
    lines = (exported.path / "train.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "-" in row["example_id"]]
    first, second = rows
    assert [row["example_id"].partition("-")[2] for row in rows] == ["1", "3"]
    assert first["rank"] == second["rank"] and len({row["rank"] for row in rows}) == 1
    said = [[message["content"] for message in row["prompt"]] for row in rows]
    assert said == [["11"], ["11", "12 13", "14"]]
    assert [row["completion"][0]["content"] for row in rows] == ["12 13", "15"]
    # 1 opens a turn, 2 an answer, 3 ends a turn: 1 11 3 1 2 | 12 13 3, then 1 14 3 1 2 | 15 3.
    assert [(row["prompt_tokens"], row["loss_tokens"]) for row in rows] == [(5, 3), (13, 2)]
    with read_workspace(run.workspace) as con:
        choice = read_run_selections(con, run.run_id)["choice"]
    counts = exported.manifest.counts("train")
    assert (counts.rows, counts.loss_tokens) == (choice.rows + 1, choice.loss_tokens)


@pytest.mark.slow
def test_the_same_turns_are_written_as_token_ids_where_they_are_asked_for(tmp_path: Path) -> None:
    _, exported = export_workspace(tmp_path, export=ExportSettings(pretokenized=True))
    lines = [
        json.loads(line)
        for name in ("train", "validation")
        for line in (exported.path / f"{name}.jsonl").read_text().splitlines()
    ]
    tokens = pq.read_table(sorted((exported.path / "tokens").iterdir())).to_pylist()
    turns = [(row["group"], turn) for row in tokens for turn in row["turns"]]
    assert turns == [(line["example_id"][:32], len(line["prompt"])) for line in lines]
    (joined,) = [row for row in tokens if len(row["turns"]) > 1]
    assert joined["turns"] == [1, 3] and joined["example_id"] == joined["group"]
    # As in the two rows of conversations: 5 + 3 tokens, then 5 more of the user, and 2.
    trained = [label != -100 for label in joined["labels"]]
    assert trained == [*[False] * 5, *[True] * 3, *[False] * 5, *[True] * 2]
    assert joined["turn_ends"] == [8, 15]


@pytest.mark.slow
def test_the_manifest_has_what_the_template_does_to_the_exported_rows(tmp_path: Path) -> None:
    _, exported = export_workspace(tmp_path)
    faults = exported.manifest.template_faults
    turns = sum(exported.manifest.counts(split).rows for split in ("train", "validation"))
    assert turns == 16 and faults.placements == {"in_place": 16}
    # One of 15 examples has a tool, which the toy template leaves out; no turn ends with a control
    # token of its tokenizer.
    assert (faults.unwritten, faults.unstopped, faults.refused) == ({"tool schema": 1}, 15, {})


def test_the_languages_of_the_exported_rows_are_counted(tmp_path: Path) -> None:
    rows = [{"prompt": f"q {n}", "completion": "a"} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    with read_workspace(run.workspace) as con:
        assert count_languages(con, run, pool) == {}, "not measured"
    told = {"state": ["ok", "ok", "ok", "not_applicable"], "language": ["de", "en", "de", None]}
    run = store_measurement(run, "language", pool, {k: pa.array(v) for k, v in told.items()})
    with read_workspace(run.workspace) as con:
        assert count_languages(con, run, pool) == {"de": 2, "en": 1, "": 1}
        assert count_languages(con, run, pool[2:]) == {"de": 1, "": 1}


@pytest.mark.slow
def test_the_card_has_the_whole_funnel_and_both_controls(tmp_path: Path) -> None:
    _, exported = export_workspace(tmp_path)
    card = (exported.path / "README.md").read_text()
    first = [line.split(" | ")[0][2:] for line in card.splitlines() if line.startswith("| ")]
    steps = [cell.split(":")[0] for cell in first]
    assert [steps.count(name) for name in ("ingest", "select", "export")] == [1, 3, 0]
    assert steps.count("random") == steps.count("length_matched") == 1


@pytest.mark.slow
def test_a_template_of_the_recipe_counts_the_tokens_and_lies_in_the_export(tmp_path: Path) -> None:
    longer = CHAT.replace("{{ message.content }}", "9 {{ message.content }}")
    _, exported = export_workspace(tmp_path, 0, chat_template=longer)
    assert (exported.path / "chat_template.jinja").read_text() == longer
    assert "chat_template.jinja" in {file.path for file in exported.manifest.files}
    row = json.loads((exported.path / "train.jsonl").read_text().splitlines()[-1])
    assert row["loss_tokens"] == 1 + 1 + 1, "9, the answer and the end of turn"
    placed = save_tiny_llama(tmp_path / "own", chat_template=longer)
    own = TokenCounts(model=str(placed)).key()
    assert exported.manifest.model.template_fingerprint == own.template_fingerprint


def test_generators_are_named_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    makers = {f"row {n}": f"model {n % 9}" for n in range(20)}
    monkeypatch.setattr(stage, "read_makers", lambda _con, ids: {i: makers[i] for i in ids})
    stated = {"model 3": ["mit", "apache-2.0"]}
    monkeypatch.setattr(stage, "read_model_licenses", lambda _con, ids: stated)
    found = stage.read_generators(None, list(makers))  # type: ignore[arg-type]
    said = {3: "model 3, licence mit, apache-2.0"}
    assert found == [said.get(n, f"model {n}") for n in range(9)]


@pytest.mark.slow
def test_scores_stand_beside_each_row_where_they_are_asked_for(tmp_path: Path) -> None:
    asked = ExportSettings(pretokenized=True, scores=("response_length",))
    _, exported = export_workspace(tmp_path, export=asked)
    lines = (exported.path / "train.jsonl").read_text().splitlines()
    by_example = {row["example_id"]: row["score_response_length"] for row in map(json.loads, lines)}
    for folder in ("data", "tokens"):
        table = pq.read_table(exported.path / folder)
        column = table["score_response_length"]
        assert column.type == pa.float64() and column.null_count == 0
        ids = table["example_id"].to_pylist()
        for row_id, value in zip(ids, column.to_pylist(), strict=True):
            assert row_id not in by_example or value == by_example[row_id]
    alone = [row for row in map(json.loads, lines) if "-" not in row["example_id"]]
    assert all(row["score_response_length"] == row["loss_tokens"] for row in alone)
    card = (exported.path / "README.md").read_text()
    assert "| `score_response_length` |" in card and "name: score_response_length" in card


def test_without_scores_the_export_is_the_one_it_was() -> None:
    assert ExportSettings(pretokenized=True).model_dump() == {"pretokenized": True}
    assert ExportSettings(scores=("a",)).model_dump()["scores"] == ("a",)
