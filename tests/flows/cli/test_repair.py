"""`sluice verify`, `gc` and `doctor` as a user meets them: what they print, their exit codes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner, Result

from flows.cli.main import app
from storage.database import open_workspace
from storage.retention import write_run_measures
from storage.runs import finish_run
from storage.workspace import Workspace
from tests.exported_workspace import export_workspace
from tests.old_workspace import write_old_workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run, _ = export_workspace(folder)
    with open_workspace(run.workspace) as con:
        write_run_measures(con, run.run_id, run.measures)
        finish_run(con, run.run_id)
    return folder


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy")) / "workspace"


def ask(workspace: Path, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, [*words, "-w", str(workspace)])
    assert done.exit_code == code, done.output
    return done


def test_verify_has_a_line_for_each_link_and_ends_with_0(workspace: Path) -> None:
    (export,) = (workspace / "exports").iterdir()
    lines = ask(workspace, "verify").stdout.splitlines()
    links = ["rows", "examples", "origins", "sources"]
    assert lines[0] == f"exports/{export.name}: files: 6 walked, holds"
    assert lines[1:5] == [f"exports/{export.name}: {link}: 14 walked, holds" for link in links]
    assert lines[5:] == ["token_counts: measurements: 1 walked, holds"]


def test_verify_ends_with_1_where_a_link_is_broken_and_names_it(workspace: Path) -> None:
    with open_workspace(Workspace(workspace)) as con:
        con.execute("delete from lineage")
    (workspace.parent / "first.jsonl").unlink()
    printed = ask(workspace, "verify", code=1).stdout
    assert (
        "origins: 14 walked, 1 BROKEN" in printed and "in no source of the run: 1 rows" in printed
    )
    assert "sources: 14 walked, holds, 12 cannot be walked further" in printed
    links = json.loads(ask(workspace, "verify", "--json", code=1).stdout)
    (broken,) = [link for link in links if link["broken"]]
    assert (broken["link"], broken["walked"], broken["broken"]) == ("origins", 14, 1)


def test_a_source_that_changed_ends_with_0(workspace: Path) -> None:
    (workspace.parent / "first.jsonl").write_text("{}")
    assert "first.jsonl is changed since" in ask(workspace, "verify").stdout


def test_gc_says_on_a_dry_run_what_it_then_removes(workspace: Path) -> None:
    orphan = workspace / "measurements" / "m" / "a.parquet"
    orphan.parent.mkdir()
    orphan.write_text("12345")
    dry = ask(workspace, "gc", "--dry-run")
    assert "unnamed measurements" in dry.stdout and "could go: 1 files, 5 bytes" in dry.stderr
    assert orphan.exists()
    removed = json.loads(ask(workspace, "gc", "--json").stdout)
    assert [(each["kind"], each["bytes"]) for each in removed] == [("unnamed measurements", 5)]
    assert "no table names them" in removed[0]["why"]
    assert not orphan.exists()
    assert "removed: 0 files" in ask(workspace, "gc").stderr


def test_gc_lists_unused_measurements_by_what_they_are(workspace: Path) -> None:
    day = ("--unused-since", "2100-01-01")
    (found,) = json.loads(ask(workspace, "gc", "--dry-run", "--json", *day).stdout)
    (unused,) = found["unused"]
    assert (unused["measure"], unused["rows"]) == ("token_counts", 15)
    assert "max_tokens" in unused["settings"] and found["bytes"] > 0
    ask(workspace, "gc", *day)
    assert ask(workspace, "verify").stdout.count("holds") == 5, "an export needs no measurement"
    assert "token_counts" not in ask(workspace, "verify").stdout


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def findings(words: Sequence[str], code: int) -> dict[str, tuple[str, str]]:
    done = CliRunner().invoke(app, ["doctor", "--json", *words])
    assert done.exit_code == code, done.output
    return {each["what"]: (each["level"], each["remedy"]) for each in json.loads(done.stdout)}


@pytest.mark.usefixtures("no_server")
def test_doctor_looks_at_everything_and_a_warning_is_no_problem(workspace: Path) -> None:
    found = findings(["-w", str(workspace)], code=0)
    for what in ("python", "packages", "torch", "faiss", "disk of the cache", "tables", "size"):
        assert found[what][0] == "ok", what
    assert found["server"][0] == "warning" and "sluice server" in found["server"][1]


@pytest.mark.usefixtures("no_server")
def test_doctor_ends_with_1_where_there_is_a_problem(tmp_path: Path) -> None:
    assert findings(["-w", str(tmp_path)], code=1)["workspace"][0] == "problem"
    printed = CliRunner().invoke(app, ["doctor", "-w", str(tmp_path)]).stdout
    assert "problem  workspace: there is none in" in printed


def test_every_problem_and_warning_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = "http://127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    with temporary_settings({PREFECT_API_URL: url}):  # as a process has it that starts with it
        found = findings(["-w", str(tmp_path)], code=1)
    assert found["server"][0] == "problem"
    assert all(remedy for level, remedy in found.values() if level != "ok")


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
