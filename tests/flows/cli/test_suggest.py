"""`sluice suggest` as a user types it, on verdicts that are in the workspace."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from pipeline.advice.suggest import NoVerdictsError
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from storage.examples import read_all_ids
from tests.stage_runner import count_words, start, store_measurement


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One source with two answers that were judged."""
    pairs = [("1 + 1?", "#### 2"), ("1 + 1?", "2"), ("1 + 1?", "it is 3")]
    rows = [json.dumps({"prompt": prompt, "completion": text}) for prompt, text in pairs]
    (tmp_path / "sums.jsonl").write_text("\n".join(rows))
    run, pool = start(tmp_path / "work", [tmp_path / "sums.jsonl"])
    steps = [
        {"method": "correct_answer", "marker": "####"},
        {"method": "random", "budget": {"fraction": 1}},
    ]
    settings = SelectSettings.model_validate({"held_out": 0, "steps": steps})
    select_examples(count_words(run, pool), settings, pool)
    return run.workspace.directory


def test_names_what_to_generate_for(workspace: Path) -> None:
    shown = CliRunner().invoke(app, ["suggest", "-w", str(workspace), "--json"])
    assert shown.exit_code == 0
    (task,) = json.loads(shown.stdout)
    assert Path(task["task"]).name == "sums.jsonl"
    assert (task["correct"], task["tried"], task["expected"]) == (1, 2, 0.5)
    table = CliRunner().invoke(app, ["suggest", "-w", str(workspace), "--by", "prompt"])
    assert table.exit_code == 0 and "0.50" in table.stdout
    assert "there are 1 in all" in table.stderr


@pytest.mark.slow
def test_with_mpts_it_also_names_what_nobody_answered(workspace: Path) -> None:
    command = ["suggest", "-w", str(workspace), "--method", "mpts"]
    bare = CliRunner().invoke(app, command)
    assert isinstance(bare.exception, NoVerdictsError)
    assert "none is stored in this workspace" in str(bare.exception)
    (workspace.parent / "more.jsonl").write_text(json.dumps({"prompt": "2 + 2?"}))
    run, pool = start(workspace, [workspace.parent / "more.jsonl"], run_id="later")
    with read_workspace(run.workspace) as con:
        ids = read_all_ids(con)
    vectors = pa.array([[1.0, 0.0] if i in pool else [0.0, 1.0] for i in ids])
    columns = {"state": pa.array(["ok"] * len(ids)), "embedding": vectors}
    store_measurement(run, "embeddings", ids, columns, {"of": "prompt"})
    shown = CliRunner().invoke(app, [*command, "--json"])
    assert shown.exit_code == 0
    found = {Path(each["task"]).name: each for each in json.loads(shown.stdout)}
    assert {name: each["tried"] for name, each in found.items()} == {
        "sums.jsonl": 2,
        "more.jsonl": 0,
    }
    assert all(0 <= each["wrong"] <= 1 for each in found.values())
    table = CliRunner().invoke(app, command)
    assert "expected wrong" in table.stdout and "at random" in table.stdout
    refused = CliRunner().invoke(app, [*command, "--memory", "0.5"])
    assert refused.exit_code == 2 and "--memory is of mopps" in refused.output


def test_a_workspace_without_verdicts_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}))
    run, _ = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    failed = CliRunner().invoke(app, ["suggest", "-w", str(run.workspace.directory)])
    assert isinstance(failed.exception, NoVerdictsError)
    assert "run a recipe with a correct_answer step" in str(failed.exception)
