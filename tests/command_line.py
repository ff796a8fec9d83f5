"""The command line asked about a workspace, in the process of the test."""

from pathlib import Path

from typer.testing import CliRunner, Result

from flows.cli.main import app


def ask(workspace: Path, *words: str, code: int = 0) -> Result:
    """Give a command, and expect an exit code."""
    done = CliRunner().invoke(app, [*words, "-w", str(workspace)])
    assert done.exit_code == code, done.output
    return done
