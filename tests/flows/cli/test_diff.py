"""`sluice diff` as a user meets it: which runs it takes, what it prints, what it refuses."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app, exit_code
from storage.database import QueryError, open_workspace
from storage.workspace import Workspace
from tests.pipeline.reporting.test_changes import night, write_rows


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    """Two nights; on the second a row was new."""
    file = tmp_path / "incoming" / "a.jsonl"
    write_rows(file, {"a": 3, "b": 5})
    night(tmp_path, "one")
    write_rows(file, {"a": 3, "b": 5, "c": 7})
    return str(night(tmp_path, "two").directory)


def test_the_last_run_is_compared_with_the_one_before_it(workspace: str) -> None:
    done = CliRunner().invoke(app, ["diff", "-w", workspace])
    assert done.exit_code == 0
    assert "What changed since run one" in done.stdout
    assert re.search(r"\| added \| 1 \| new row \| [0-9a-f]{8} \|", done.stdout)
    back = CliRunner().invoke(app, ["diff", "two", "one", "-w", workspace]).stdout
    assert "What changed since run two" in back
    assert "| removed | 1 | its row is gone from the sources |" in back


def test_json_has_every_row(workspace: str) -> None:
    found = json.loads(CliRunner().invoke(app, ["diff", "-w", workspace, "--json"]).stdout)
    assert (found["before"], found["after"], found["stayed"]) == ("one", "two", 1)
    assert [each["change"] for each in found["choice"]] == ["added", "removed"]
    assert len(found["choice"][0]["example_id"]) == 32
    # and no less than the text has
    assert (found["added"], found["removed"]) == (1, 1)
    assert [(each["path"], each["change"]) for each in found["sources"]] == [
        ("../incoming/a.jsonl", "edited")
    ]
    assert [each["why"] for each in found["choice"]] == [
        "new row",
        "now over_budget (select: top_k(score=response_length, rows=2))",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "run two is the first"), (["one", "three"], "no run 'three'")],
)
def test_what_cannot_be_compared_is_told(workspace: str, words: list[str], message: str) -> None:
    if not words:
        with open_workspace(Workspace(Path(workspace))) as con:
            con.execute("update runs set previous_run_id = null")
    error = CliRunner().invoke(app, ["diff", *words, "-w", workspace]).exception
    assert isinstance(error, QueryError) and message in str(error)
    assert exit_code(error) == 2
