"""Turns: one at a time, the next in line, and nothing left behind by a killed process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from storage.database import WorkspaceBusyError
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace, read_holder

ROOT = Path(__file__).parent.parent.parent

HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from storage.workspace_lock import lock_workspace
from storage.workspace import Workspace
workspace = Workspace(Path(sys.argv[2]))
with lock_workspace(workspace, sys.argv[3], yields=sys.argv[4] == "yields") as turn:
    print("has it", flush=True)
    if sys.argv[4] == "yields":
        while not turn.wanted():
            pass
    else:
        sys.stdin.read()
"""


@contextmanager
def held(workspace: Workspace, what: str, yields: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the turn."""
    command = [sys.executable, "-c", HOLD, str(ROOT), str(workspace.directory), what]
    command.append("yields" if yields else "keeps")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        yield process
        process.kill()


def test_a_second_run_is_told_who_works_and_since_when(workspace: Workspace) -> None:
    with held(workspace, "run demo") as other:
        named = rf"run demo .process {other.pid} on .* --wait"
        with pytest.raises(WorkspaceBusyError, match=named), lock_workspace(workspace, "run other"):
            pass
    with lock_workspace(workspace, "run other"):
        holder = read_holder(workspace.lock_folder)
        assert holder is not None
        assert holder.what == "run other"
    assert read_holder(workspace.lock_folder) is None


def test_a_killed_process_keeps_nothing(workspace: Workspace) -> None:
    with held(workspace, "run demo") as other:
        other.kill()
        other.wait()
        with lock_workspace(workspace, "run other"):
            pass


def test_a_run_is_waited_for_where_asked(workspace: Workspace) -> None:
    told: list[str] = []
    with held(workspace, "run demo") as other:
        assert other.stdin is not None

        def tell(line: str) -> None:
            told.append(line)
            assert other.stdin is not None
            other.stdin.close()

        with lock_workspace(workspace, "nightly", wait=True, tell=tell):
            assert other.wait() == 0
    assert len(told) == 1
    assert "nightly: waiting for run demo" in told[0]


def test_a_backfill_lets_a_run_pass_without_being_asked_to_wait(workspace: Workspace) -> None:
    with held(workspace, "backfill", yields=True) as other, lock_workspace(workspace, "run demo"):
        assert other.wait() == 0


def test_nobody_wants_a_turn_that_nobody_waits_for(workspace: Workspace) -> None:
    with lock_workspace(workspace, "backfill", yields=True) as turn:
        assert not turn.wanted()
        assert not turn.wanted()  # looking did not leave a lock behind


def test_who_waits_comes_before_who_gave_up_its_turn(workspace: Workspace) -> None:
    order: list[str] = []
    waits = Event()

    def run() -> None:
        with lock_workspace(workspace, "run", tell=lambda _: waits.set()):
            order.append("run")

    with lock_workspace(workspace, "backfill", yields=True) as turn:
        thread = Thread(target=run)
        thread.start()
        assert waits.wait(10)
        assert turn.wanted()
    with lock_workspace(workspace, "backfill", yields=True, wait=True):
        order.append("backfill")
    thread.join()
    assert order == ["run", "backfill"]
