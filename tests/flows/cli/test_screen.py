"""`sluice screen` as a user meets it: the queue, the verdicts, the gate and its exit codes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from flows.cli.main import app
from pipeline.scoring.stage import ScoreSettings, score_key
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import open_workspace, read_workspace
from storage.retention import write_run_measures
from storage.runs import start_run
from storage.scores import write_scores
from storage.workspace import Workspace
from tests.stage_runner import count_words, start, store_measurement

RECIPE = {"name": "screened", "seed": 0, "scores": [{"scorer": "confidence"}]}
EVERYTHING = {
    "held_out": 0,
    "steps": [{"method": "random", "budget": {"fraction": 1}}],
}


def write_source(path: Path, rows: int) -> Path:
    turns = [
        {"messages": [{"role": "user", "content": f"{path.stem} {n}"},
                      {"role": "assistant", "content": f"answer {n}"}]}
        for n in range(rows)
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps(turn) for turn in turns), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that selected 400 rows of one source and 20 of another, with confidences."""
    folder = tmp_path_factory.mktemp("screened")
    files = [write_source(folder / "large.jsonl", 400), write_source(folder / "small.jsonl", 20)]
    run, pool = start(folder / "workspace", files)
    run = count_words(run, pool)
    run = store_measurement(run, "judgements", pool, {"state": pa.array(["ok"] * len(pool))})
    run = replace(
        run, scores={"confidence": score_key(ScoreSettings(scorer="confidence"), run.measures)}
    )
    values = np.linspace(0, 1, len(pool))
    with open_workspace(run.workspace) as con:
        start_run(con, run.run_id, RECIPE, "code", {}, run.source_ids)
        con.execute("update runs set recipe = ?", [json.dumps(RECIPE)])
        write_run_measures(con, run.run_id, run.measures)
        write_scores(con, run.scores["confidence"], pool, values, ["ok"] * len(pool))
    select_examples(run, SelectSettings.model_validate(EVERYTHING), pool)
    return folder / "workspace"


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "workspace"))


def ask(workspace: Path, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["screen", "-w", str(workspace), *words])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done


def queued(workspace: Path, *words: str) -> tuple[Path, list[dict[str, Any]]]:
    facts = json.loads(ask(workspace, *words, "--json").stdout)
    path = Path(facts["queue"])
    return path, [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judge(path: Path, rows: list[dict[str, Any]], bad: set[str]) -> Path:
    told = [{**row, "verdict": "bad" if row["example_id"] in bad else "ok"} for row in rows]
    path.write_text("\n".join(json.dumps(row) for row in told), encoding="utf-8")
    return path


def by_source(done: Result) -> dict[str, dict[str, Any]]:
    return {Path(each["source"]).stem: each for each in json.loads(done.stdout)["sources"]}


@pytest.mark.slow
def test_the_queue_holds_random_rows_of_each_source_and_suspects_apart(workspace: Path) -> None:
    path, rows = queued(workspace, "--suspects", "10")
    assert path.parent == workspace / "reports"
    drawn = [(row["drawn"], Path(row["source"]).stem) for row in rows]
    assert drawn.count(("random", "large")) == 299 and drawn.count(("random", "small")) == 20
    suspects = [row for row in rows if row["drawn"] == "suspect"]
    assert len(suspects) == 10 and {row["because_of"] for row in suspects} == {"confidence"}
    rest = {row["example_id"] for row in rows if row["drawn"] == "random"}
    assert not rest & {row["example_id"] for row in suspects}
    assert all(row["verdict"] == "" and len(row["messages"]) == 2 for row in rows)
    assert all(0 <= row["signals"]["confidence"] <= 1 for row in rows)


@pytest.mark.parametrize("words", [("--at-most", "0"), ("--confidence", "1")])
def test_an_impossible_demand_is_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["screen", "-w", str(tmp_path), *words])
    assert done.exit_code == 2 and "are between 0 and 1" in done.output


def test_suspects_are_the_least_confident_of_the_rest(workspace: Path) -> None:
    _, rows = queued(workspace, "--suspects", "5")
    random = {row["example_id"] for row in rows if row["drawn"] == "random"}
    with read_workspace(Workspace(workspace)) as con:
        scores = con.execute("select value, example_id from scores").fetchall()
    left = sorted(score for score in scores if score[1] not in random)
    expected = [example_id for _, example_id in left[:5]]
    assert [row["example_id"] for row in rows if row["drawn"] == "suspect"] == expected


def test_verdicts_without_a_bad_row_warn_and_a_source_read_whole_passes(workspace: Path) -> None:
    path, rows = queued(workspace)
    done = ask(workspace, "--verdicts", str(judge(path, rows, set())), "--json")
    found = by_source(done)
    assert found["large"]["gate"] == "warn" and found["large"]["reviewed"] == 299
    assert found["large"]["upper"] == pytest.approx(0.008967, abs=1e-6)
    assert found["small"]["gate"] == "pass" and found["small"]["upper"] == 0


def test_bad_rows_block_their_source_and_exit_with_1(workspace: Path) -> None:
    path, rows = queued(workspace)
    bad = {row["example_id"] for row in rows if "large" in row["source"]}
    done = ask(workspace, "--verdicts", str(judge(path, rows, set(list(bad)[:3]))), code=1)
    assert "block" in done.stdout and "take the bad rows out of it" in done.stdout


def test_bad_suspects_do_not_count_in_the_estimate(workspace: Path) -> None:
    path, rows = queued(workspace)
    bad = {row["example_id"] for row in rows if row["drawn"] == "suspect"}
    facts = json.loads(ask(workspace, "--verdicts", str(judge(path, rows, bad)), "--json").stdout)
    assert facts["suspects"] == {"queued": 50, "read": 50, "bad": 50}
    assert all(each["bad"] == 0 for each in facts["sources"]) and facts["blocked"] == []


def test_a_file_cannot_change_which_rows_were_drawn_at_random(workspace: Path) -> None:
    path, rows = queued(workspace)
    bad = {row["example_id"] for row in rows if row["drawn"] == "suspect"}
    forged = [{**row, "drawn": "random"} for row in rows]
    facts = json.loads(ask(workspace, "--verdicts", str(judge(path, forged, bad)), "--json").stdout)
    assert all(each["bad"] == 0 for each in facts["sources"])


def test_rows_without_a_verdict_are_said_and_widen_the_bound(workspace: Path) -> None:
    path, rows = queued(workspace)
    judge(path, [row for row in rows if row["drawn"] == "random"][:100], set())
    done = ask(workspace, "--verdicts", str(path), code=1)
    assert "199 rows drawn at random have no verdict yet" in done.stdout


@pytest.mark.slow
def test_what_was_read_is_not_queued_again(workspace: Path, tmp_path: Path) -> None:
    path, rows = queued(workspace, "--suspects", "20")
    ask(workspace, "--verdicts", str(judge(path, rows, set())))
    stricter = tmp_path / "more.jsonl"
    _, more = queued(workspace, "--at-most", "0.002", "--suspects", "0", "--queue", str(stricter))
    assert len(more) == 81 and not {r["example_id"] for r in more} & {r["example_id"] for r in rows}
    found = by_source(ask(workspace, "--verdicts", str(judge(stricter, more, set())), "--json"))
    assert found["large"]["gate"] == "pass" and found["large"]["reviewed"] == 400
    assert "has been read" in ask(workspace, "--suspects", "0").stdout


def test_a_queue_that_may_hold_verdicts_is_not_written_over(workspace: Path) -> None:
    path, _ = queued(workspace)
    before = path.read_bytes()
    done = CliRunner().invoke(app, ["screen", "-w", str(workspace)])
    assert type(done.exception).__name__ == "QueryError" and "may hold verdicts" in str(
        done.exception
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "error", "problem"),
    [
        ('{"example_id": "0", "verdict": "ok"}', "QueryError", "never queued here"),
        ('{"example_id": "0", "verdict": "fine"}', "UnreadableSourceError", "ok or bad, or empty"),
        ('{"verdict": "ok"}', "UnreadableSourceError", "with its example_id"),
        ("{", "UnreadableSourceError", "line 1"),
    ],
)
def test_verdicts_that_are_none_are_told(
    workspace: Path, tmp_path: Path, line: str, error: str, problem: str
) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text(line, encoding="utf-8")
    words = ["screen", "-w", str(workspace), "--verdicts", str(path)]
    done = CliRunner().invoke(app, words)
    assert type(done.exception).__name__ == error and problem in str(done.exception)
