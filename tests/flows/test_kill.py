"""Kill a run anywhere: the same command finishes it, as if it had not been killed.

A sample of what benchmarks/kill_anywhere.py does a hundred times.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kill_anywhere import kill_anywhere, prefect_server
from benchmarks.killed_workspace import workspace_content, write_project

pytestmark = pytest.mark.slow


def test_a_killed_run_is_finished_by_the_same_command_to_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with prefect_server(tmp_path / "home") as server:
        trials, kills = kill_anywhere(tmp_path, server.environment, at_writes=7, at_random=2)
    assert len(trials.moments) > 200
    assert {"runs", "scores", "selection_rows", "losses", "trajectories"} <= trials.expected.keys()
    assert any(name.endswith("adapter_model.safetensors") for name in trials.expected)
    assert [kill for kill in kills if kill.differs] == []


def run(folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "sluice"), "run", "recipe.yaml"]
    given = {**environment, "PREFECT_CLIENT_MAX_RETRIES": "0"}  # 5 by default: some minutes
    return subprocess.Popen(command, cwd=folder, env=given, stderr=subprocess.PIPE, text=True)


def test_a_killed_server_ends_a_run_with_a_word_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "project").mkdir()
    project = write_project(tmp_path / "project")
    with prefect_server(tmp_path / "home") as server, run(project, server.environment) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("measure: losses"):
                server.process.kill()
        assert process.wait() == 5
        assert "the Prefect server at" in said[-1] and "same command again" in said[-1]
        with run(project, server.environment) as again:  # nor is there one at the start
            assert again.stderr is not None
            assert "the Prefect server at" in again.stderr.readlines()[-1]
            assert again.wait() == 5
    with prefect_server(tmp_path / "home") as server, run(project, server.environment) as process:
        _, log = process.communicate()
        assert process.returncode == 0, log
    content = workspace_content(project / "work")
    assert len(content["selection_rows"]) > 12  # type: ignore[arg-type]
