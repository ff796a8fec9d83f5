"""`sluice what-if`: what it says is what a run would do, and it writes nothing."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app, exit_code
from flows.recipe.check import RecipeError, load_recipe
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.scoring.stage import ScoreSettings
from pipeline.scoring.targets import read_targets
from pipeline.selection.stage import select_examples
from storage.database import QueryError, open_workspace, read_workspace
from storage.evidence import read_choice_ids
from storage.retention import write_run_measures
from storage.runs import start_run, write_run_targets
from storage.workspace import Workspace
from tests.pipeline.scoring.test_targets import embed, write
from tests.stage_runner import count_words, score, start

RECIPE = """
name: nightly
workspace: w
seed: 3
target: wheel:smollm2-135m-instruct
sources: [{path: rows.jsonl}]
scores: [response_length]
select:
  held_out: 0.1
  steps:
    - {method: threshold, score: response_length, at_most: 30}
    - {method: top_k, score: response_length, budget: {rows: 10}}
"""
TARGETED = """
name: targeted
workspace: w
target: wheel:smollm2-135m-instruct
sources: [{path: rows.jsonl}]
targets: [{path: wanted.jsonl}]
measure: {embeddings: [{of: both}]}
scores: [{scorer: got_d, of: both}]
select:
  held_out: 0
  steps: [{method: top_k, score: got_d, budget: {rows: 5}}]
"""
BOUND = "select.steps.0.at_most=20"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with one run that has selected, for tests that write nothing."""
    folder = tmp_path_factory.mktemp("ran")
    lines = [json.dumps({"prompt": f"q {n}", "completion": "word " * (n + 1)}) for n in range(36)]
    (folder / "rows.jsonl").write_text("\n".join([*lines, '{"prompt": "unanswered"}']))
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)
    select(path, "one")
    return path


@pytest.fixture
def own_recipe(recipe: Path, tmp_path: Path) -> Path:
    """A copy of it with its workspace, to be run again."""
    shutil.copytree(recipe.parent, tmp_path / "own")
    return tmp_path / "own" / recipe.name


def select(path: Path, run_id: str, changes: tuple[str, ...] = ()) -> set[str]:
    """What a run of the recipe does after measuring; the ids it chooses."""
    loaded = load_recipe(path, changes)
    run, pool = start(path.parent / "w", [path.parent / "rows.jsonl"], run_id="ingest")
    run = replace(count_words(run, pool), run_id=run_id, seed=loaded.seed)
    run = score(run, ScoreSettings(scorer="response_length"), pool)
    with open_workspace(run.workspace) as con:
        start_run(con, run_id, loaded.stored(), "code", {}, run.source_ids)
        write_run_measures(con, run_id, run.measures)
    select_examples(run, loaded.select, pool)
    with read_workspace(run.workspace) as con:
        return read_choice_ids(con, run_id)


def test_scores_that_compare_with_targets_are_found(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", [f"ask {n}" for n in range(12)])
    write(tmp_path / "wanted.jsonl", ["like this", "or this"])
    path = tmp_path / "recipe.yaml"
    path.write_text(TARGETED)
    loaded = load_recipe(path)
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"], run_id="ingest")
    run = replace(run, run_id="one")
    sources = identify_sources(run.workspace, [SourceSettings(path=str(tmp_path / "wanted.jsonl"))])
    ingest_sources(run.workspace, sources)
    wanted = [source.source_id for source in sources]
    run = replace(run, targets=read_targets(run.workspace, wanted))
    run = count_words(embed(run, sorted({*pool, *run.target_ids})), pool)
    run = replace(run, measures={**run.measures, "embeddings_both": run.measures["embeddings"]})
    run = score(run, loaded.scores[0], pool)
    with open_workspace(run.workspace) as con:
        start_run(con, "one", loaded.stored(), "code", {}, run.source_ids)
        write_run_targets(con, "one", wanted)
        write_run_measures(con, "one", run.measures)
    select_examples(run, loaded.select, pool)
    assert ask(path, "select.steps.0.budget.rows=3")["rows"] == 3


def ask(recipe: Path, *settings: str) -> dict[str, Any]:
    words = [word for each in settings for word in ("--set", each)]
    done = CliRunner().invoke(app, ["what-if", str(recipe), *words, "--json"])
    assert done.exit_code == 0, done.exception
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    "settings",
    [
        (BOUND,),
        ("select.steps.1.budget.rows=4",),
        ("select.held_out=0.4",),
        (BOUND, "select.steps.1.budget={loss_tokens: 50}"),
        ("select.steps.1.score={weights: {response_length: -1}}",),
    ],
)
def test_it_chooses_what_a_run_would(own_recipe: Path, settings: tuple[str, ...]) -> None:
    with read_workspace(workspace_of(own_recipe)) as con:
        before = read_choice_ids(con, "one")
    found = ask(own_recipe, *settings)
    moved = {each["example_id"]: each["change"] for each in found["changes"]["choice"]}
    added = {i for i, change in moved.items() if change == "added"}
    removed = {i for i, change in moved.items() if change == "removed"}
    assert select(own_recipe, "two", settings) == (before - removed) | added
    assert found["changes"]["stayed"] == len(before - removed)
    assert found["changes"]["pool"]["new"] == found["changes"]["pool"]["retired"] == 0
    assert added or removed
    ranks = {i["example_id"]: i["rank"] for i in found["changes"]["choice"] if i["rank"]}
    with read_workspace(workspace_of(own_recipe)) as con:
        query = "select example_id, rank from selection_rows join run_selections "
        query += "using (selection_id) where run_id = 'two' and kind = 'choice'"
        stored = dict(con.execute(query).fetchall())
    assert ranks == {example_id: stored[example_id] for example_id in added}


@pytest.mark.parametrize("setting", [BOUND, "select.held_out=0.4"])
def test_its_books_are_those_of_a_run(own_recipe: Path, setting: str) -> None:
    asked = {(s["label"], s["rows_in"], s["kept"]) for s in ask(own_recipe, setting)["steps"]}
    assert max(rows for _, rows, _ in asked) == 37, "the first step is given all rows"
    select(own_recipe, "two", (setting,))
    with read_workspace(workspace_of(own_recipe)) as con:
        rows = con.execute(
            "select label, rows_in, kept from stage_counts "
            "where run_id = 'two' and stage = 'select'"
        ).fetchall()
    assert asked == set(rows)


def test_every_change_has_its_reason(recipe: Path) -> None:
    changes = ask(recipe, BOUND)["changes"]["choice"]
    assert {each["reason"] for each in changes if each["change"] == "removed"} == {
        "above_threshold"
    }
    assert {each["reason"] for each in changes if each["change"] == "added"} == {"over_budget"}


def test_it_writes_nothing(recipe: Path) -> None:
    file = workspace_of(recipe).database
    before = file.read_bytes()
    ask(recipe, BOUND)
    assert file.read_bytes() == before


def test_a_person_reads_the_steps_and_what_changed(recipe: Path) -> None:
    done = CliRunner().invoke(app, ["what-if", str(recipe), "--set", BOUND])
    assert "it would choose 10 rows" in done.stdout
    assert "`select.steps.0.at_most`: 30.0 → 20.0" in done.stdout
    assert "now above_threshold" in done.stdout


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("dedupe=[{method: minhash}]", "dedupe.0, which run one had otherwise"),
        ("name=other", "no run of other has selected anything"),
        ("scores=[response_length, {scorer: response_length, name: x}]", ""),
    ],
)
def test_what_it_cannot_answer_is_told(recipe: Path, setting: str, message: str) -> None:
    done = CliRunner().invoke(app, ["what-if", str(recipe), "--set", setting])
    if not message:
        assert done.exit_code == 0, "another name for a stored score is no new number"
        return
    assert isinstance(done.exception, QueryError) and message in str(done.exception)
    assert exit_code(done.exception) == 2


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("select.steps.7.at_most=1", "that list has 2 entries, counted from 0"),
        ("seed", "write PLACE=VALUE"),
        ("seed.x=1", "the recipe has no such place"),
        ("select.steps.first.at_most=1", "the recipe has no such place"),
        ("a=[", "its value is not YAML"),
        ("=3", "unknown key"),
    ],
)
def test_a_setting_that_sets_nothing_is_told(recipe: Path, setting: str, why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        load_recipe(recipe, [setting])


def test_a_setting_is_checked_as_the_recipe_is(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="Did you mean 'at_most'"):
        load_recipe(recipe, ["select.steps.0.at_mots=3"])


def workspace_of(recipe: Path) -> Workspace:
    return Workspace(recipe.parent / "w")


@pytest.mark.slow
def test_to_read_a_recipe_loads_no_model_library() -> None:
    code = (
        "import sys, flows.recipe.check, pipeline.reporting.what_if; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"
