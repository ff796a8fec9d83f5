"""A trial from its file to its verdict, with a tiny model: resumed, grown, and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pyarrow as pa
import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.cli.run import RunOptions, run_until
from flows.compare_arms import (
    TrialFacts,
    compare_arms,
    measuring_seconds,
    rows_trained_instead,
    take_samples,
    why_stop,
)
from flows.draw_arms import TrialError
from flows.prepare_trial import PreparedTrial, prepare_trial, read_files
from flows.recipe.trial import load_trial
from pipeline.export.verify import verify_workspace
from pipeline.reporting.report import read_run_report
from pipeline.trials.evaluations import render_questions
from pipeline.trials.outcome import metrics_of
from pipeline.trials.questions import read_questions
from pipeline.trials.settings import TrialEvaluation
from storage.database import open_workspace, read_workspace
from storage.trial_items import read_items
from storage.workspace import Workspace
from tests.empty_workspace import lay_out
from tests.fine_tune.conftest import tiny_model  # noqa: F401
from tests.fine_tune.tiny import byte_tokenizer
from tests.stage_runner import start, store_measurement

RECIPE = """
name: small
workspace: work
target: {model}
sources: [{{path: rows.jsonl}}]
scores: [response_length]
select:
  held_out: 0.2
  sensitivity: false
  steps: [{{method: top_k, score: response_length, budget: {{loss_tokens: 400}}}}]
train: {{lora_rank: 2, learning_rate: 0.02}}
"""

TRIAL = """
recipe: recipe.yaml
arms:
  choice: {selection: choice}
  random: {control: random}
  untrained: {control: untrained}
looks: [2]
learning_rates: [0.02]
evaluate:
  gold: {path: gold.jsonl, prompt: q, answer: a}
  which: {path: gold.jsonl, metric: choice, prompt: q, answer: a, choices: c}
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:  # noqa: F811
    rows = [
        {"instruction": f"Say {at} and no more.", "output": "word " * (1 + at % 9)}
        for at in range(60)
    ]
    items = [
        {"q": f"What is {at}?", "a": f"It is {at}.", "c": [f"It is {at}.", "No."]}
        for at in range(12)
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (tmp_path / "gold.jsonl").write_bytes(b"\n".join(map(orjson.dumps, items)))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=tiny_model))
    (tmp_path / "trial.yaml").write_text(TRIAL)
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


COMMAND = [sys.executable, "-c", "from flows.cli.main import main; main()", "trial", "trial.yaml"]


def run_trial(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TrialFacts:
    """As the command does it, in this process: it has the libraries and a server."""
    monkeypatch.chdir(folder)
    trial = load_trial(Path("trial.yaml"))
    files = read_files(trial)
    how = RunOptions(wait=False, runner="threads", cluster=None)
    prepared = prepare_trial(trial, run_until(Path(trial.recipe), "select", how), files)
    return compare_arms(prepared, [1.0] * len(trial.looks))


def numbers(result: TrialFacts) -> TrialFacts:
    """A result without what depends on the clock."""
    timed = ("predicted_seconds", "real_seconds", "choose_seconds", "extra_rows", "arms")
    return {name: each for name, each in result.items() if name not in timed}


def trainings(folder: Path) -> dict[str, int]:
    """Report of each training → when it was written."""
    found = (folder / "work" / "models").glob("*/report.json")
    return {each.parent.name: each.stat().st_mtime_ns for each in found}


@pytest.mark.slow
def test_a_trial_that_was_killed_and_one_that_grows(
    folder: Path, server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = subprocess.DEVNULL
    started = subprocess.Popen(
        COMMAND, cwd=folder, stdout=silent, stderr=silent, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while len(trainings(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    done = trainings(folder)
    assert 2 <= len(done) < 4
    first = run_trial(folder, monkeypatch)
    assert done.items() <= trainings(folder).items(), "what was trained is not trained again"
    done = trainings(folder)
    assert len(done) == 4
    check_result(first)
    # Again: nothing is trained, and every number is the same.
    assert numbers(run_trial(folder, monkeypatch)) == numbers(first) and trainings(folder) == done
    # More seeds: only those, and a plan that says it came after a result.
    (folder / "trial.yaml").write_text(TRIAL.replace("[2]", "[3]"))
    more = run_trial(folder, monkeypatch)
    assert more["seeds"] == 3 and more["changed_after"] == first["plan_id"]
    assert len(trainings(folder)) == 6 and done.items() <= trainings(folder).items()
    check_workspace(Workspace(folder / "work"), more)
    # In another workspace, without a kill: the same.
    (folder / "work").rename(folder / "killed")
    (folder / "trial.yaml").write_text(TRIAL)
    assert numbers(run_trial(folder, monkeypatch)) == numbers(first)


def check_result(result: TrialFacts) -> None:
    assert set(result["verdicts"]) == {"choice"} and result["verdicts"]["choice"]["said"]
    tokens = [n for arm in ("choice", "random") for n in result["arms"][arm]["loss_tokens"]]
    assert max(tokens) <= 400 and max(tokens) - min(tokens) < 60, "within a row"
    assert [table["metric"] for table in result["tables"]] == ["nll", "margin", "accuracy"]


def check_workspace(workspace: Workspace, result: TrialFacts) -> None:
    """Items are stored once for each training and the model itself, and all of it holds."""
    with read_workspace(workspace) as con:
        counted = con.execute("select count(distinct replicate_id) from trial_items").fetchall()
        report = read_run_report(con, result["run_id"]).markdown
        means = con.execute(MEANS, {"plan_id": result["plan_id"]}).fetchall()
        links = verify_workspace(con, workspace)
    assert counted == [(7,)]
    assert "## Does it beat random?" in report and f"plan `{result['plan_id']}`" in report
    (table,) = (each for each in result["tables"] if each["metric"] == "nll")
    told = {row["arm"]: sorted(row["seed_means"]) for row in table["rows"]}
    for arm in told:
        assert told[arm] == pytest.approx(sorted(mean for name, mean in means if name == arm))
    assert not [link for link in links if link.broken]


MEANS = """
select arm, sum(value) / sum(tokens) from trial_replicates join trial_items using (replicate_id)
where plan_id = $plan_id and metric = 'nll' group by arm, replicate_id
"""
"""As docs/trials.md has it."""


def outcome(word: str, smallest: float, seeds: int, variance: float) -> dict[str, Any]:
    row = {"arm": "choice", "variance": variance, "shares": [0.0, 0.5, 0.5]}
    table = {"evaluation": "gold", "clusters": 100, "rows": [row]}
    verdicts = {"choice": {"word": word}}
    head = {"primary": "gold", "smallest": smallest, "seeds": seeds}
    return {**head, "verdicts": verdicts, "tables": [table]}


def test_a_trial_ends_early_where_all_is_decided_or_nothing_can_be() -> None:
    looks, level = [3, 5, 8], 0.045
    assert why_stop(outcome("better", 0.01, 3, 1e-4), looks, level) == "every arm is decided"
    # At 8 seeds V falls from 1e-4 to 3.75e-5: about 3 sqrt(V) = .018 would be seen.
    told = why_stop(outcome("not decided", 0.01, 3, 1e-4), looks, level)
    assert told is not None and told.startswith("stopped, for even at 8 seeds only differences of")
    assert why_stop(outcome("not decided", 0.03, 3, 1e-4), looks, level) is None


def test_samples_of_another_harness_are_taken_or_said_to_be_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "house.jsonl").write_bytes(
        b"\n".join(orjson.dumps({"q": f"What is {at}?", "a": str(at)}) for at in range(3))
    )
    settings = TrialEvaluation(
        path=str(tmp_path / "house.jsonl"),
        metric="exact",
        prompt="q",
        answer="a",
        samples=str(tmp_path / "evals/{training}/samples_*.jsonl"),
        value="acc",
    )
    read = read_questions(settings)
    evaluation = render_questions("house", settings, read, byte_tokenizer(), 400)
    workspace = Workspace(tmp_path / "work")
    lay_out(workspace)
    monkeypatch.setattr(
        "flows.compare_arms.resolve_model", lambda _: SimpleNamespace(path=Path("/base"))
    )
    prepared = cast(
        PreparedTrial,
        SimpleNamespace(
            evaluations=[evaluation],
            state=SimpleNamespace(
                run=SimpleNamespace(workspace=workspace), placed=SimpleNamespace(target="t")
            ),
        ),
    )
    lines = [
        {"doc_id": at, "doc": {"q": f"What is {at}?"}, "filter": "none", "acc": float(at == 2)}
        for at in range(3)
    ]
    folders = {"bare": None, "one": tmp_path / "adapter-one"}

    def put(training: str) -> None:
        (tmp_path / "evals" / training).mkdir(parents=True)
        file = tmp_path / "evals" / training / "samples_house.jsonl"
        file.write_bytes(b"\n".join(map(orjson.dumps, lines)))

    put("bare")
    with pytest.raises(
        TrialError, match=r"(?s)1 files of samples.*/base:.*,peft=.*/adapter-one/adapter$"
    ):
        take_samples(prepared, folders)
    put("one")
    take_samples(prepared, folders)
    (tmp_path / "evals/one/samples_house.jsonl").unlink()
    take_samples(prepared, folders)  # they are stored, and not looked for again
    with read_workspace(workspace) as con:
        found = read_items(con, "one", evaluation.evaluation_id, "exact")
    assert found.items == [1, 2, 3] and found.values == [0.0, 0.0, 1.0]
    assert metrics_of(evaluation) == ("exact",) and evaluation.chance is None


def test_what_choosing_cost_is_the_time_of_all_measures_but_token_counts(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(orjson.dumps({"prompt": "p", "completion": "r"}))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    ok = {"state": pa.array(["ok"])}
    for measure in ("token_counts", "losses", "trajectories"):
        run = store_measurement(run, measure, ids, ok)
    other = store_measurement(run, "losses", ids, ok, {"of": "another recipe"})
    with open_workspace(run.workspace) as con:
        for took, (name, key) in enumerate(run.measures.items(), start=3):
            con.execute(
                "update shards set seconds = ? where measure_key = ?", [took, key.measure_key]
            )
            assert name != "token_counts" or took == 3
        assert measuring_seconds(con, run) == 4 + 5
        assert measuring_seconds(con, other) == 0 + 5, "of losses that were measured otherwise"
    assert rows_trained_instead(9.0, 0.4) == 22, "and not half a row more"
    assert rows_trained_instead(9.0, 0.0) is None
