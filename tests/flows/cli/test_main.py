"""All verbs: each file has its line, help is quick, and what reads reads older workspaces."""

import importlib
import subprocess
import sys
from inspect import isfunction
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from flows.cli.main import NOTING, app
from storage.workspace import Workspace
from tests.command_line import ask
from tests.old_workspace import write_old_workspace

CLI = Path(__file__).parents[3] / "flows" / "cli"
HEAVY = ("prefect", "duckdb", "torch", "transformers", "numpy", "pyarrow", "polars", "pydantic")


ROOT = Path(__file__).resolve().parents[3]


def verbs_in_files() -> set[str]:
    """Files of flows/cli that hold a function of their own name, as a verb's file does."""
    names = {path.stem for path in CLI.glob("*.py")} - {"main"}
    modules = {name: importlib.import_module(f"flows.cli.{name}") for name in names}
    return {
        name.replace("_", "-")
        for name, module in modules.items()
        if isfunction(getattr(module, name, None))
    }


def test_every_verb_has_its_line() -> None:
    line = get_command(app)
    assert isinstance(line, TyperGroup)
    assert verbs_in_files() - set(line.commands) == set()


def test_every_verb_but_the_stages_has_its_file() -> None:
    files = {
        command.callback.__name__: Path(command.callback.__code__.co_filename).stem
        for command in app.registered_commands
        if command.callback is not None
    }
    elsewhere = {name for name, file in files.items() if file != name}
    assert {files[name] for name in elsewhere} == {"run"}


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from flows.cli.main import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "e1"),
        ("report",),
        ("quarantine",),
        ("sql", "select * from trials"),
        ("verify",),
        ("gc", "--dry-run"),
        ("doctor",),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.usefixtures("no_server")
def test_every_command_that_reads_reads_an_older_workspace(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    workspace = Workspace(tmp_path / "old")
    write_old_workspace(workspace)
    done = ask(workspace.directory, *words, code=1 if words == ("verify",) else 0)
    if words == ("doctor",):
        assert "of an older version: 18 of" in done.stdout
        assert [path.name for path in workspace.directory.iterdir()] == ["workspace.duckdb"]
    else:
        assert len(list(workspace.directory.glob("*before-migration-18"))) == 1


def test_whoever_notes_something_below_the_flows_is_heard() -> None:
    """A logger of a package that is not named would note to nobody."""
    noting = {
        file.relative_to(ROOT).parts[0]
        for package in ("fine_tune", "pipeline", "scorers", "storage")
        for file in (ROOT / package).rglob("*.py")
        if "logging.getLogger(__name__)" in file.read_text()
    }
    assert noting == set(NOTING)
