"""A recipe that asks no model: scores of texts decide, from the recipe to the export."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.begin_run import RunState
from flows.cli.main import app
from flows.recipe.check import load_recipe
from flows.stages import STAGES
from storage.database import open_workspace, read_workspace
from storage.evidence import read_choice_ids
from storage.examples import read_examples
from storage.retention import write_run_measures
from storage.runs import start_run
from tests.stage_runner import count_words, start

RECIPE = """
name: plain
workspace: w
target: wheel:smollm2-135m-instruct
sources: [{path: rows.jsonl}]
scores:
  - refusal_phrases
  - {scorer: duplicate_ngrams, settings: {n: 2}}
  - {scorer: words_per_line, of: prompt, name: asked}
select:
  held_out: 0
  steps:
    - {method: threshold, score: refusal_phrases, at_least: 0}
    - method: top_k
      score: {weights: {duplicate_ngrams: 1.0, asked: 0.01}}
      budget: {rows: 2}
"""
ROWS = {
    "Say it": "I'm sorry, but I cannot help with that",
    "Go round": "and on and on and on and on",
    "Tell me": "once upon a time there was a fox",
    "Tell me a little more": "once upon a time there was an owl",
    "Unanswered": None,
}


@pytest.fixture
def selected(tmp_path: Path) -> RunState:
    """The stages of a run after token counts, and what a what-if needs of them."""
    lines = [{"prompt": p, **({"completion": c} if c else {})} for p, c in ROWS.items()]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "recipe.yaml")
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"], run_id="ingest")
    run = replace(count_words(run, pool), run_id="one")
    with open_workspace(run.workspace) as con:
        start_run(con, run.run_id, recipe.stored(), "code", {}, run.source_ids)
        write_run_measures(con, run.run_id, run.measures)
    state = STAGES["score"](RunState(recipe, recipe.at(tmp_path), run, pool=pool))
    return STAGES["select"](state)


def test_steps_choose_by_them(selected: RunState) -> None:
    with read_workspace(selected.run.workspace) as con:
        chosen = read_choice_ids(con, selected.run.run_id)
        prompts = {example.prompt for example in read_examples(con, sorted(chosen))}
        con.execute("select reason, count(*) from decisions where outcome = 'dropped' group by all")
        reasons: Mapping[str, int] = dict(con.fetchall())
    assert prompts == {"Tell me", "Tell me a little more"}
    assert reasons == {"no_response": 1, "below_threshold": 1, "over_budget": 1}


def test_a_what_if_finds_them(selected: RunState, tmp_path: Path) -> None:
    words = ["what-if", str(tmp_path / "recipe.yaml"), "--set", "select.steps.0.at_least=-9"]
    done = CliRunner().invoke(app, [*words, "--set", "select.steps.1.budget.rows=5", "--json"])
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["rows"] == 4
