"""`sluice sql --out` as a user meets it: a file for one answer."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from storage.database import QueryError
from tests.command_line import ask


def test_an_answer_is_written_to_the_file_that_is_named(workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "answer.jsonl"
    done = ask(workspace, "sql", "select 7 as n union all select 8 order by n", "--out", str(out))
    assert [json.loads(line) for line in out.read_text().splitlines()] == [{"n": 7}, {"n": 8}]
    assert done.stdout == "" and f"2 rows written to {out}" in done.stderr


@pytest.mark.parametrize("typed", ["select 1;\nselect 2;\n", "select 1;\nselect 2\n"])
def test_a_file_has_room_for_one_answer(workspace: Path, tmp_path: Path, typed: str) -> None:
    out = tmp_path / "answer.csv"
    words = ["sql", "--out", str(out), "-w", str(workspace)]
    done = CliRunner().invoke(app, words, input=typed)
    assert isinstance(done.exception, QueryError) and "of one query, 2 are" in str(done.exception)
    assert not out.exists()
    assert CliRunner().invoke(app, words, input="select 1 as n;\n").exit_code == 0
    assert out.read_text().splitlines() == ['"n"', "1"]
