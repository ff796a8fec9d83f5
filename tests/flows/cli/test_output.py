"""Nothing that a row, a name or a message holds reaches a terminal as a command to it."""

import ast
import json
from pathlib import Path

import pytest

import flows
from flows.cli import main
from flows.cli.output import (
    print_answer,
    print_json,
    print_rows,
    print_table,
    print_text,
    stdout_console,
)
from flows.cli.summary import funnel_table
from flows.progress import say
from pipeline.reporting.report import FunnelRow

POISON = "\x1b]52;c;ZXZpbA==\x07\x9b31m\r\u202e\u200b[link=http://evil]x[/link]"

WRITERS = {"flows/cli/output.py", "flows/cli/main.py", "flows/progress.py", "flows/cli/sql.py"}
"""Who writes to stdout or stderr: each escapes what it is given, or writes words of its own."""


def harmed(out: str) -> list[str]:
    return [each for each in out if each in "\x1b\x07\x9b\r\u202e\u200b"]


def test_whatever_prints_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(POISON)
    print_answer(POISON, POISON, as_json=False)
    print_table([POISON], [[POISON]])
    say(POISON)
    with pytest.raises(SystemExit):
        main.end(POISON, 2)
    said = capsys.readouterr()
    assert not harmed(said.out + said.err)
    assert said.out.count("[link=") == 4, "and markup is text"


def test_json_gives_back_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": POISON})
    print_rows(["b"], [[POISON]], as_json=True)
    out = capsys.readouterr().out
    assert not harmed(out)
    first, second = out.split("}\n", 1)
    assert json.loads(first + "}") == {"a": POISON}
    assert json.loads(second) == [{"b": POISON}]


def test_the_funnel_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    row = FunnelRow(stage="select", step=POISON, rows_in=1, kept=1, left=POISON)
    stdout_console().print(funnel_table([row]))
    out = capsys.readouterr().out
    assert not harmed(out)
    assert "evil" in out


def test_nobody_else_writes_to_the_terminal() -> None:
    root = Path(flows.__path__[0]).parent
    for file in (root / "flows").rglob("*.py"):
        found = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Call)
        } & {
            "sys.stdout.write",
            "sys.stdout.writelines",
            "sys.stderr.write",
            "sys.stderr.writelines",
            "print",
            "typer.echo",
            "click.echo",
        }
        assert not found or file.relative_to(root).as_posix() in WRITERS, (file, found)
