"""`sluice trace` as a user meets it: where the completion comes from, and what is printed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.main import app
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from tests.stage_runner import count_words, start

QUOTE = "the slow kettle hums a tune that nobody in town can name"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sixty rows that have the same phrase, and one that has another."""
    folder = tmp_path_factory.mktemp("trace")
    rows = [(f"q{i}", f"a{i}: as all of us know by now") for i in range(60)]
    lines = [json.dumps({"prompt": p, "completion": c}) for p, c in [*rows, ("hums", QUOTE)]]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    run, pool = start(folder / "w", [folder / "rows.jsonl"])
    run = count_words(run, pool)
    steps = [{"method": "random", "budget": {"rows": 99}}]
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": steps}), pool)
    return str(folder / "w")


def trace(workspace: str, *words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["trace", "-w", workspace, *words], input=typed)


def test_spans_and_rows_are_printed_with_their_places(workspace: str) -> None:
    done = trace(workspace, f"So {QUOTE}, as all of us know by now.", "--spans", "9")
    assert done.exit_code == 0
    assert "20 words, traced in the 61 rows of the choice of run run" in done.stdout
    assert "spans that stand in them: 2, 2 shown: 95% of the words" in done.stdout
    assert f"1. {QUOTE}\n   12 words, 1 place in 1 row\n" in done.stdout
    assert "2. as all of us know by now\n   7 words, 60 places in 60 rows, a common phrase" in (
        done.stdout
    )
    assert "response 0 to 56" in done.stdout and "rows.jsonl, row 61" in done.stdout
    assert "and 7 more" in done.stdout  # ten are named, three are shown
    assert "rows that share a span: 61, the first 10" in done.stdout
    assert "not that the model learnt it there" in done.stdout


def test_the_completion_comes_from_argument_file_or_stdin(workspace: str, tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text(QUOTE)
    outputs = [
        trace(workspace, QUOTE, "--json"),
        trace(workspace, "--file", str(tmp_path / "answer.txt"), "--json"),
        trace(workspace, "--json", typed=QUOTE),
    ]
    first, *rest = [json.loads(done.stdout) for done in outputs]
    assert first["spans"][0]["text"] == QUOTE and "learnt it" in first["note"]
    assert rest == [first, first]
    assert len(first["rows"][0]["example_id"]) == 32


def test_what_the_prompt_has_is_left_out(workspace: str) -> None:
    assert "in them: 0, 0 shown: 0%" in trace(workspace, QUOTE, "--prompt", f"Why {QUOTE}?").stdout
    done = trace(workspace, "nothing of the kind")
    assert "in them: 0, 0 shown" in done.stdout and "evidence" not in done.stdout
    hint = "a smaller --min-words finds shorter spans"
    assert f"{hint}, and --all searches every example\n" in done.stdout
    done = trace(workspace, "nothing of the kind", "--all")
    assert f"{hint}\n" in done.stdout and hint not in trace(workspace, QUOTE).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["some", "--file", "x"], "not both"),
        (["--file", "nowhere.txt"], "there is no file nowhere.txt"),
        ([" "], "the completion is empty"),
    ],
)
def test_what_is_no_completion_is_refused(workspace: str, words: list[str], message: str) -> None:
    done = trace(workspace, *words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())
