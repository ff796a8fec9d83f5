"""Scores held against trainings on random halves, with a tiny model, and resumed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.cli.run import RunOptions, run_until
from flows.draw_arms import TrialError
from flows.prepare_trial import PreparedTrial, read_files
from flows.recipe.trial import load_trial
from flows.relate_scores import LENGTH, prepare_halves, relate_scores
from pipeline.evidence.lds_markdown import lds_markdown
from pipeline.reporting.report import read_run_report
from pipeline.trials.datamodel import spearman
from storage.database import read_workspace
from tests.fine_tune.conftest import tiny_model  # noqa: F401

RECIPE = """
name: small
workspace: work
target: {model}
sources: [{{path: rows.jsonl}}]
scores: [response_length, {{scorer: digit_share, of: response}}]
select:
  held_out: 0.2
  sensitivity: false
  steps: [{{method: random, budget: {{rows: 9}}}}]
train: {{lora_rank: 2, learning_rate: 0.02}}
"""

TRIAL = """
recipe: recipe.yaml
evaluate: {gold: {path: gold.jsonl, prompt: q, answer: a}}
lds: {halves: 8, rows: 40, seeds: 1, scores: [response_length]}
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    rows = [{"instruction": f"Say {at}.", "output": "word " * (1 + at % 9)} for at in range(90)]
    items = [{"q": f"What is {at}?", "a": f"It is {at}."} for at in range(6)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (tmp_path / "gold.jsonl").write_bytes(b"\n".join(map(orjson.dumps, items)))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=tiny_model))
    (tmp_path / "trial.yaml").write_text(TRIAL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def prepare() -> PreparedTrial:
    trial = load_trial(Path("trial.yaml"))
    how = RunOptions(wait=False, runner="threads", cluster=None)
    state = run_until(Path(trial.recipe), "select", how)
    return prepare_halves(trial, state, read_files(trial))


@pytest.mark.slow
def test_scores_are_held_against_trainings_on_halves(folder: Path, server: None) -> None:
    prepared = prepare()
    halves = [set(drawn[0].rows.ids) for drawn in prepared.arms.values()]
    assert len(halves) == 8 and {len(half) for half in halves} == {20}
    assert len(set().union(*halves)) <= 40 and len({frozenset(half) for half in halves}) == 8
    assert {each.settings.learning_rate for each in prepared.trained(1)} == {0.02}
    first = relate_scores(prepared, 1.0)
    with read_workspace(prepared.state.run.workspace) as con:
        means = con.execute(MEANS, {"plan_id": first["plan_id"]}).fetchall()
        assert lds_markdown(first) in read_run_report(con, first["run_id"]).markdown
    (table,) = first["tables"]
    assert [each["score"] for each in table["scores"]] == ["response_length", LENGTH]
    tokens = np.array([float(drawn[0].rows.tokens) for drawn in prepared.arms.values()])
    losses = np.array([mean for _, mean in sorted(means, key=lambda row: int(row[0].split()[1]))])
    wanted = spearman(tokens, -losses)
    assert [each["lds"] for each in table["scores"]] == [pytest.approx(wanted)] * 2
    # Again: nothing is trained, and every number is the same.
    again: dict[str, Any] = relate_scores(prepare(), 0.0)
    assert again["tables"] == first["tables"] and again["real_seconds"] == 0
    (folder / "trial.yaml").write_text(TRIAL.replace("response_length", "perplexity"))
    with pytest.raises(TrialError, match=r"lds.scores: 'perplexity' ranks no rows"):
        prepare()


MEANS = """
select arm, sum(value) / sum(tokens) from trial_replicates join trial_items using (replicate_id)
where plan_id = $plan_id group by arm, replicate_id
"""
