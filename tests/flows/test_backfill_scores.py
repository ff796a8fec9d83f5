"""A backfill of many shards: it makes way for a run, and a kill costs it nothing."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from prefect.testing.utilities import prefect_test_harness

from benchmarks.kill_anywhere import prefect_server
from benchmarks.killed_workspace import write_project
from flows.backfill_scores import backfill_scores
from flows.measure_shards import measure_job
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring.measures.losses import Losses
from storage.database import read_workspace
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace

pytestmark = pytest.mark.slow

COUNT = "select count(*) from losses"


@pytest.fixture(scope="module")
def harness() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Rows that were read and not measured."""
    folder = tmp_path / "project"
    folder.mkdir()
    write_project(folder)
    workspace = Workspace(folder / "work")
    ingest_sources(
        workspace, identify_sources(workspace, [SourceSettings(path=str(folder / "rows"))])
    )
    return folder


def measured(project: Path) -> int:
    with read_workspace(Workspace(project / "work")) as con:
        ((count,),) = con.execute(COUNT).fetchall()
    return int(count)


def test_a_run_passes_a_backfill_between_two_shards(
    project: Path, harness: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(Losses, "shard_tokens", 1)  # a shard for each row
    seen: list[int] = []

    def run() -> None:
        with lock_workspace(Workspace(project / "work"), "run other"):
            seen.append(measured(project))
            seen.append(measured(project))

    threads: list[Thread] = []

    def begin_a_run(*given: object) -> int:
        if not threads:
            threads.append(Thread(target=run))
            threads[0].start()
        return measure_job(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("flows.backfill_scores.measure_job", begin_a_run)
    backfill_scores("recipe.yaml", ["ifd"])
    threads[0].join()
    total = measured(project)
    assert total == 25
    assert len(seen) == 2 and seen[0] == seen[1] < total


def test_a_killed_backfill_is_finished_by_the_same_command(project: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "sluice"), "backfill", "recipe.yaml"]
    words = ["--scorer", "ifd", "--scorer", "grape", "--try", "0"]
    (tmp_path / "home").mkdir()
    with prefect_server(tmp_path / "home") as server:
        pipe = subprocess.PIPE
        given = {"cwd": project, "env": server.environment, "text": True}
        with subprocess.Popen([*command, *words], stderr=pipe, **given) as process:  # type: ignore[call-overload]
            for line in process.stderr:
                if line.startswith("measure: losses of"):
                    process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        done = subprocess.run([*command, *words], capture_output=True, **given)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
        plan = subprocess.run([*command, *words, "--plan", "--json"], capture_output=True, **given)  # type: ignore[call-overload]
    assert [each["to_ask"] for each in json.loads(plan.stdout)] == [{}]
    query = "select scorer, count(*) = count(distinct example_id), count(*) = 25 from scores"
    with read_workspace(Workspace(project / "work")) as con:
        found = con.execute(f"{query} group by scorer order by scorer").fetchall()
    assert found == [("grape", True, True), ("ifd", True, True)]
