"""Prefect's temporary server ends with the run that started it, however that ended."""

import atexit
import subprocess
from typing import Any

from prefect.settings import PREFECT_API_URL

UNTIL_WE_END = 'read -r _; kill -KILL "$0"'
"""For a shell whose input is a pipe of ours: it is closed when this process is no more."""


def tie_temporary_server() -> None:
    """Have the server that Prefect starts for a run die with this process, by kill -9 as well."""
    if PREFECT_API_URL.value():  # there is one already
        return
    from prefect.server.api.server import SubprocessASGIServer  # takes seconds, here or in the flow

    start: Any = SubprocessASGIServer._run_uvicorn_command

    def start_tied(self: SubprocessASGIServer) -> "subprocess.Popen[Any]":
        process: subprocess.Popen[Any] = start(self)
        end_with_us(process.pid)
        return process

    if start.__name__ != start_tied.__name__:  # done once
        SubprocessASGIServer._run_uvicorn_command = start_tied  # type: ignore[method-assign]


def end_with_us(pid: int) -> None:
    """Kill a process as soon as this one has ended without having done so itself."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", UNTIL_WE_END, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # or Ctrl-C in a terminal would end it before its time
    )
    # An orderly end stops the server, after which the number may be another's. The reference keeps
    # the pipe open.
    atexit.register(guard.kill)
