"""The command line on a real Prefect server and a real, cut-down model: the whole path.

Every test here runs `sluice` as a user would. The target is the embedded model with two of its
thirty layers, so that a run takes seconds; the Prefect server is the temporary one of each run.
"""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.cli.environment import ENVIRONMENT
from scorers.measures.models.loading import resolve_model

pytestmark = pytest.mark.slow

WORDS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
ROWS = [
    {"prompt": f"Name the {word} number.", "completion": f"The {word} number is {n}, of course."}
    for n, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
    )
]
ODD = ['{"prompt": "cut', json.dumps({"messages": [{"role": "user", "content": "Say hello."}]})]

RECIPE = """
name: small
workspace: work
seed: 1
target: {target}
tolerated_bad_rows: 0.5
sources: [{{path: rows.jsonl, license: CC0-1.0}}]
generate: [{{answers: 2, max_new_tokens: 8}}]
measure:
  tokens: {{max_tokens: 128}}
  losses: {{max_tokens: 128}}
  embeddings: [{{of: both}}]
  trajectories: {{epochs: 1, checkpoints: 2, batch_rows: 4, max_tokens: 128}}
  confidence: {{samples: {{answers: 1, max_new_tokens: 4, part: {{rows: 2}}}}}}
scores: [perplexity, ifd, ifd_perplexity, grape, response_length, confidence,
  {{scorer: s2l_cluster, settings: {{clusters: 2}}}}]
dedupe:
  - {{method: minhash, keep: grape}}
  - {{method: semantic, threshold: 0.999, keep: grape}}
select:
  held_out: 0.2
  steps:
    - {{method: grape}}
    - {{method: s2l, budget: {{rows: 4}}}}
train: {{batch_rows: 2, lora_rank: 2, save_every_steps: 1}}
"""


@pytest.fixture(scope="module")
def target() -> Path:
    return resolve_model("wheel:smollm2-135m-instruct", layers=2).path


def write_project(folder: Path, target: Path) -> Path:
    folder.mkdir()
    lines = [json.dumps(row) for row in ROWS] + ODD
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "recipe.yaml").write_text(RECIPE.format(target=target))
    return folder


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT, "PREFECT_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE"}


def sluice(folder: Path, *words: str, code: int = 0) -> str:
    command = [str(Path(sys.executable).parent / "sluice"), *words]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder / "home"), capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code in (0, 4) else done.stderr


def content(folder: Path, run_id: str) -> dict[str, Any]:
    """Everything a run leaves that a user could compare: tables by query, exports by bytes."""
    queries = {
        "examples": "select * from examples order by all",
        "scores": "select * from scores order by all",
        "decisions": f"select * from decisions where run_id = '{run_id}' order by all",
        "counts": f"select * from stage_counts where run_id = '{run_id}' order by all",
        "selections": "select kind, r.* from selection_rows r join run_selections "
        f"using (selection_id) where run_id = '{run_id}' order by all",
    }
    with duckdb.connect(str(folder / "work/workspace.duckdb"), read_only=True) as con:
        tables = {name: con.execute(query).fetchall() for name, query in queries.items()}
    files = sorted((folder / "work/exports").glob(f"*{run_id}/**/*"))
    exports = [(str(p.relative_to(folder)), p.read_bytes()) for p in files if p.is_file()]
    return {**tables, "exports": exports}


def test_a_plan_costs_nothing_that_the_run_does_not_find_done(tmp_path: Path, target: Path) -> None:
    folder = write_project(tmp_path / "project", target)
    plan = json.loads(sluice(folder, "plan", "recipe.yaml", "--rows", "6", "--json"))
    (calls,) = plan["calls_of_makers"]
    assert (calls["maker"], calls["sources"], calls["fewest"], calls["most"]) == ("answer", 1, 2, 2)
    assert all(each["source"].startswith("arXiv:") for each in plan["advice"])
    assert plan["slices"] == {"test": [], "train": [], "sizes": []}  # too few rows to be split
    assert plan["gain_of_doubling"] is None
    wanted = ["losses", "embeddings_both", "samples", "judgements", "trajectories"]
    assert [each["name"] for each in plan["measures"]] == wanted
    assert all(each["seconds"] > 0 and each["tokens"] > 0 for each in plan["measures"])
    assert plan["seconds"] == pytest.approx(sum(each["seconds"] for each in plan["measures"]))
    with duckdb.connect(str(folder / "work/workspace.duckdb"), read_only=True) as con:
        kept = con.execute("select distinct measure from measures join shards using (measure_key)")
        assert kept.fetchall() == [("token_counts",)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, target: Path) -> tuple[Path, dict[str, Any]]:
    """A project whose recipe has run once, and what the run said of itself."""
    folder = write_project(tmp_path_factory.mktemp("finished") / "project", target)
    return folder, json.loads(sluice(folder, "run", "recipe.yaml", "--json"))


def test_the_books_of_the_whole_path_balance(finished: tuple[Path, dict[str, Any]]) -> None:
    _, summary = finished
    stages = [(row["stage"], row["rows_in"], row["kept"]) for row in summary["funnel"]]
    assert stages[0] == ("ingest", 10, 9)
    for (_, _, kept), (stage, rows_in, _) in pairwise(stages):
        assert rows_in == kept, stage
    assert stages[-1][0] == "export" and stages[-1][2] == 4
    selections = summary["selections"]
    assert selections["random"]["rows"] == selections["length_matched"]["rows"] == 4
    assert summary["training"]["rows"] == 4
    assert summary["training"]["loss_tokens"] == selections["choice"]["loss_tokens"]


def test_a_second_run_asks_no_model_and_changes_nothing(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, first = finished
    before = content(folder, first["run_id"])
    second = json.loads(sluice(folder, "run", "recipe.yaml", "--json"))
    assert set(second["asked"].values()) == {0}
    assert content(folder, first["run_id"]) == before
    assert {**second, "asked": None} == {**first, "asked": None}


def test_a_changed_threshold_asks_no_model(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    recipe = (folder / "recipe.yaml").read_text().replace("0.999", "0.9")
    (folder / "changed.yaml").write_text(recipe.replace("budget: {rows: 4", "budget: {rows: 3"))
    summary = json.loads(sluice(folder, "select", "changed.yaml", "--json"))
    assert set(summary["asked"].values()) == {0}
    assert summary["selections"]["choice"]["rows"] == 3


def test_the_story_of_a_row_is_told(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = finished
    told = sluice(folder, "explain", summary["first_example"][:10], "-w", "work")
    for word in ("rows.jsonl, row", "CC0-1.0", "ifd", "rank 1 of 4", summary["run_id"]):
        assert word in told
    story = json.loads(sluice(folder, "explain", summary["first_example"], "-w", "work", "--json"))
    assert story["selections"][0]["rank"] == 1
    assert {row["measure"] for row in story["measurements"]} >= {"losses", "embeddings"}


def test_the_workspace_answers_questions(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    query = "select count(*) as n from examples"
    assert json.loads(sluice(folder, "sql", query, "-w", "work", "--json"))[0]["n"] >= 9
    refused = sluice(folder, "sql", "delete from examples", "-w", "work", code=2)
    assert "read-only" in refused
    listed = json.loads(sluice(folder, "quarantine", "-w", "work", "--json"))
    assert [(row["line"], row["reason"]) for row in listed] == [(9, "invalid_json")]
    assert "holds" in sluice(folder, "verify", "-w", "work")
    assert "| ingest | read | 10 | 9 |" in sluice(folder, "report", "-w", "work")


def test_exit_codes(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = finished
    sluice(folder, "ingest", "recipe.yaml", "--strict", code=4)
    assert "there is no workspace" in sluice(tmp_path, "report", code=2)
    assert "no example has an id" in sluice(folder, "explain", "zz", "-w", "work", code=2)
    recipe = (folder / "recipe.yaml").read_text()
    (folder / "strict.yaml").write_text(recipe.replace("rows: 0.5", "rows: 0.05"))
    assert "1 of 10 rows could not be read" in sluice(folder, "ingest", "strict.yaml", code=3)
    (folder / "hub.yaml").write_text(recipe.replace("target: /", "target: no/such-model # "))
    assert "HF_HUB_OFFLINE=0" in sluice(folder, "ingest", "hub.yaml", code=5)


def test_nothing_to_do_is_told(tmp_path: Path, target: Path) -> None:
    folder = write_project(tmp_path / "project", target)
    (folder / "rows.jsonl").write_text("")
    assert "4 is more than the 0 rows" in sluice(folder, "run", "recipe.yaml", code=2)
    recipe = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(recipe.replace("{rows: 4}", "{fraction: 0.5}"))
    assert "no row that could be read" in sluice(folder, "run", "recipe.yaml", code=1)
