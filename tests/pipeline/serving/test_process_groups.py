import os
import sys
import time
from pathlib import Path

import pytest

from pipeline.serving.process_groups import running, stop_group
from tests.fake_vllm import is_alive

WITH_A_WORKER = """
import signal, subprocess, sys, time
if {deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
print(subprocess.Popen([sys.executable, "-c", code]).pid, flush=True)
time.sleep(60)
"""


def first_line(log: Path) -> str:
    until = time.monotonic() + 20
    while "\n" not in (text := log.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.2)  # for the worker to put its handler in place
    return text.splitlines()[0]


@pytest.mark.parametrize("deaf", [False, True])
def test_workers_end_with_the_program_though_neither_heeds_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    monkeypatch.setattr("pipeline.serving.process_groups.WORKERS_GRACE_SECONDS", 0.2)
    log = tmp_path / "log"
    command = [sys.executable, "-c", WITH_A_WORKER.format(deaf=deaf)]
    with running(command, os.environ, log) as process:
        worker = int(first_line(log))
        assert is_alive(worker)
        started = time.monotonic()
        stop_group(process, grace_seconds=0.5)
        assert time.monotonic() - started < 5
    assert process.returncode is not None
    assert not is_alive(process.pid) and not is_alive(worker)


def test_a_program_that_has_ended_is_left_with_its_code_and_its_output(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "import os, sys; print('out'); sys.stderr.write(os.environ['A']); sys.exit(3)"
    with running([sys.executable, "-c", code], {"A": "err"}, log) as process:
        assert process.wait() == 3
    assert process.returncode == 3
    text = log.read_text()
    assert text.startswith("before\n") and "out" in text and "err" in text


def test_an_error_in_the_block_ends_the_program(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        pytest.raises(KeyboardInterrupt),
        running(command, os.environ, tmp_path / "log") as process,
    ):
        raise KeyboardInterrupt
    assert not is_alive(process.pid)


def test_the_program_hears_no_ctrl_c_of_ours(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.getpgrp() == os.getpid(), flush=True)"]
    with running(command, os.environ, tmp_path / "log") as process:
        process.wait()
    assert (tmp_path / "log").read_text() == "True\n"


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        running([str(tmp_path / "none")], {}, tmp_path / "log"),
    ):
        pass
