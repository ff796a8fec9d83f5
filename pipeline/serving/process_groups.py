"""Run a program in a process group of its own, with its output in a log, and end all of it.

A server starts workers, and pip starts compilers: ending the program alone would leave those
behind. A group of its own also keeps Ctrl-C on the terminal from reaching the program before us.
What no process can do is end its group when it is itself killed with SIGKILL.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE_SECONDS = 15.0  # between SIGTERM and SIGKILL; vLLM was seen to take 10
WORKERS_GRACE_SECONDS = 3.0  # for workers that outlive their program: to put shared memory away


@contextmanager
def running(
    command: Sequence[str], variables: Mapping[str, str], log: Path, held: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block is left; what still lives of it then is ended.

    Args:
        command: the program and its arguments.
        variables: its whole environment.
        log: its output, both streams, is added to this file.
        held: file descriptors it shares with us: a lock on one of them lasts until both have ended.

    Raises:
        OSError: if the program cannot be started.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=variables,
            start_new_session=True,  # its process group has its own number then: process.pid
            pass_fds=held,
        )
    try:
        yield process
    finally:
        stop_group(process)


def stop_group(process: subprocess.Popen[bytes], grace_seconds: float = GRACE_SECONDS) -> None:
    """End a process and all that it started: SIGTERM, and SIGKILL for what does not heed it.

    An exception on the way, such as a second Ctrl-C, takes the short way to SIGKILL.
    """
    try:
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
            _wait_for_workers(process, min(grace_seconds, WORKERS_GRACE_SECONDS))
    finally:
        _signal_group(process, signal.SIGKILL)  # also for workers that outlive their parent
        process.wait()


def _wait_for_workers(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    until = time.monotonic() + grace_seconds
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, 0)  # signal 0 is not sent: it asks whether the group lives
            time.sleep(0.05)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # all have ended already
        os.killpg(process.pid, number)
