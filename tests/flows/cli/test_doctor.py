"""`sluice doctor` as a user meets it: what it looks at, and its exit codes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from flows.cli.main import app


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
