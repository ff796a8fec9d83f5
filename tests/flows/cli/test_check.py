"""`sluice check` as a user types it: on files, and on a recipe."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.environment import ENVIRONMENT
from flows.cli.main import app
from pipeline.ingest.readers import UnreadableSourceError
from scorers.measures.models.loading import resolve_model

LONG = "Ann has seven red pears and buys five green ones. How many pears has she got now?"
ITEMS = [
    {"question": LONG, "answer": "12"},
    {"question": "Tom runs 4 miles a day from May to June, and walks 2 more. How far is it?"},
]
ROWS = [
    {"prompt": LONG, "completion": "I do not know."},
    {"prompt": "Tom runs 9 miles a day from May to June, and walks 8 more. How far is it?"},
    {"prompt": "What is the capital of Peru?", "completion": "Lima."},
    {"a": 1},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "eval.jsonl").write_text("\n".join(map(json.dumps, ITEMS)))
    return tmp_path


def check(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["check", *words])
    assert done.exit_code == code, done.output
    return done.stdout if code < 2 else done.output


FILES = ("rows.jsonl", "--against", "eval.jsonl", "--prompt", "question", "--answer", "answer")


def found(page: str) -> list[tuple[str, int, str]]:
    return [(hit["row"], hit["item"], hit["rule"]) for hit in json.loads(page)["hits"]]


def test_files_are_checked_without_a_workspace(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    page = check(*FILES)
    assert page.startswith("## Contamination\n")
    assert "| rows.jsonl:1 | eval | 1 | prompt | 13-grams, any | 1.00 | ann has seven" in page
    assert "| eval | verbatim | 2 | 2 | 1.00 | 2 | 0 |" in page
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.usefixtures("folder")
def test_json_has_every_hit_and_the_rows_that_were_not_read() -> None:
    page = check(*FILES, "--json")
    assert found(page) == [("rows.jsonl:1", 1, "13-grams, any")]
    assert json.loads(page)["unreadable_rows"] == {"unknown_shape": 1}
    near = "5-grams, coverage 0.7, any numbers"
    assert ("rows.jsonl:2", 2, near) in found(check(*FILES, "--near", "--json"))


def test_hits_fail_only_where_asked(folder: Path) -> None:
    check(*FILES, "--fail-on-hits", code=1)
    (folder / "clean.jsonl").write_text(json.dumps(ROWS[2]))
    assert found(check("clean.jsonl", *FILES[1:], "--fail-on-hits", "--json")) == []


@pytest.mark.usefixtures("folder")
def test_the_length_of_an_ngram_decides_what_is_short() -> None:
    rules = {rule for _, _, rule in found(check(*FILES, "--words", "30", "--json"))}
    assert rules == {"short, the same words"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rows.jsonl",), "name the evaluation sets with --against"),
        (("recipe.yaml", "--against", "eval.jsonl"), "a recipe names its rows"),
        (("rows.jsonl", "--against", "eval.jsonl", "--answer", "answer"), "the one of the prompt"),
    ],
)
def test_wrong_usage_is_told(words: Sequence[str], message: str) -> None:
    output = " ".join(check(*words, code=2).replace("│", " ").split())
    assert message in output


@pytest.mark.usefixtures("folder")
def test_a_set_without_prompts_is_told() -> None:
    done = CliRunner().invoke(app, ["check", "rows.jsonl", "--against", "eval.jsonl"])
    assert done.exit_code == 0  # the second item has no answer, and is listed
    assert "| eval | 2 | unknown_shape |" in done.stdout
    done = CliRunner().invoke(
        app, ["check", "rows.jsonl", "--against", "eval.jsonl", "--prompt", "text"]
    )
    assert isinstance(done.exception, UnreadableSourceError)
    assert "missing_key, no text" in str(done.exception)
    assert "with --prompt and --answer" in str(done.exception)
    assert str(done.exception).endswith("there are: answer, question")


@pytest.mark.parametrize(
    ("rows", "why"),
    [("", "there are no rows"), ('{"a": 1}', "unknown_shape 1. docs/row-shapes.md has the shapes")],
)
def test_no_rows_to_compare_are_no_clean_bill(folder: Path, rows: str, why: str) -> None:
    (folder / "none.jsonl").write_text(rows)
    done = CliRunner().invoke(app, ["check", "none.jsonl", *FILES[1:], "--fail-on-hits"])
    assert isinstance(done.exception, UnreadableSourceError)
    assert f"no row of none.jsonl can be compared: {why}" in str(done.exception)


def test_a_recipe_without_a_check_block_is_told(folder: Path) -> None:
    recipe = "name: r\nworkspace: w\ntarget: wheel:smollm2-135m-instruct\n"
    recipe += (
        "sources: [{path: rows.jsonl}]\nselect: {steps: [{method: random, budget: {rows: 1}}]}"
    )
    (folder / "recipe.yaml").write_text(recipe)
    done = CliRunner().invoke(app, ["check", "recipe.yaml"])
    assert "check: missing; name the evaluation sets" in str(done.exception)
    assert not (folder / "w").exists()


RECIPE = """
name: checked
workspace: work
target: {target}
tolerated_bad_rows: 0.5
sources: [{{path: rows.jsonl}}]
check:
  against: [{{path: eval.jsonl, name: mine, prompt: question, answer: answer}}]
  ngrams: {{words: 13}}
  action: remove
select: {{held_out: 0, steps: [{{method: random, budget: {{rows: 1}}}}]}}
"""


@pytest.mark.slow
def test_a_recipe_is_checked_and_contaminated_rows_are_out(folder: Path) -> None:
    target = resolve_model("wheel:smollm2-135m-instruct", layers=2).path
    (folder / "recipe.yaml").write_text(RECIPE.format(target=target))
    before = (folder / "eval.jsonl").read_bytes()

    environment = {**os.environ, **ENVIRONMENT, "PREFECT_HOME": str(folder / "home")}
    program = "from flows.cli.main import main; main()"
    words = ["check", "recipe.yaml", "--json", "--fail-on-hits"]
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert [(hit["evaluation"], hit["item"]) for hit in report["hits"]] == [("mine", 1)]
    told = json.loads(CliRunner().invoke(app, ["report", "-w", "work", "--json"]).stdout)
    last = told["funnel"][-1]
    assert (last["stage"], last["rows_in"], last["kept"]) == ("check", 3, 2)
    assert last["left"] == "contaminated 1"
    assert "## Contamination" in CliRunner().invoke(app, ["report", "-w", "work"]).stdout
    assert (folder / "eval.jsonl").read_bytes() == before
