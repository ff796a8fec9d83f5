"""A run without a server of its own leaves none behind, and says in a line when none starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fake_vllm import is_alive

END_WITH_US = """
import subprocess, sys, time
from flows.temporary_server import end_with_us
child = subprocess.Popen(["sleep", "60"])
end_with_us(child.pid)
print(child.pid, flush=True)
if sys.argv[1] == "orderly":
    child.kill()
else:
    time.sleep(60)
"""

RECIPE = """
name: plain
workspace: work
target: wheel:smollm2-135m-instruct
sources: [{path: rows.jsonl}]
select: {held_out: 0, steps: [{method: random, budget: {rows: 1}}]}
"""


def gone(pid: int, seconds: float = 30) -> bool:
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_tied_ends_with_the_one_that_is_killed(sent: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", END_WITH_US, "killed"], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(sent)
    assert gone(child)


def test_an_orderly_end_leaves_no_guard_that_could_kill_another() -> None:
    done = subprocess.run(
        [sys.executable, "-c", END_WITH_US, "orderly"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert all(done.stdout.strip() not in each for each in commands("read -r _"))


def commands(part: str) -> dict[str, int]:
    """Command line → process, of those that have a text in it."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if part in line:
                found[line] = int(entry.name)
    return found


def servers_of(home: Path) -> list[int]:
    """Temporary servers of a run whose Prefect lives in a folder."""
    mark = f"PREFECT_HOME={home}".encode()
    return [
        pid
        for pid in commands("prefect.server.api.server:create_app").values()
        if mark in Path(f"/proc/{pid}/environ").read_bytes()
    ]


@contextmanager
def running(folder: Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """`sluice run` without a server, in an environment of its own."""
    (folder / "rows.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}))
    (folder / "recipe.yaml").write_text(RECIPE)
    given = {**os.environ, "PREFECT_HOME": str(folder), **variables}
    given.pop("PREFECT_API_URL", None)
    sluice = str(Path(sys.executable).parent / "sluice")
    with subprocess.Popen(
        [sluice, "run", "recipe.yaml"], cwd=folder, env=given, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        found: list[int] = []
        deadline = time.monotonic() + 120
        while not found and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
            # Tied as well: between the start of a server and its guard's a kill leaves it.
            guards = [line.split()[-1] for line in commands("read -r _")]
            found = [pid for pid in servers_of(tmp_path) if str(pid) in guards]
        assert found
        process.kill()
    assert all(gone(pid) for pid in found)


@pytest.mark.slow
def test_a_server_that_starts_too_slowly_is_one_line_and_leaves_none_behind(
    tmp_path: Path,
) -> None:
    one = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1"}
    with running(tmp_path, **one) as process:
        _, said = process.communicate(timeout=180)
    assert process.returncode == 5, said
    assert "Traceback" not in said
    assert "temporary server did not start in 1 s" in said.splitlines()[-1]
    assert all(gone(pid) for pid in servers_of(tmp_path))
