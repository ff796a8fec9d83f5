"""Serve a model with vLLM: one process group on the loopback, judged by its health page.

vLLM's OpenAI server runs in its own environment (pipeline/serving/environment.py) and is reached
over HTTP alone. Whether it lives is asked of `/health` and `/v1/models`; its exit code is not
looked at, for the CPU build was seen to abort after it had done all its work.
"""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import httpx

from pipeline.progress import Say
from pipeline.serving.environment import ServingEnvironment
from pipeline.serving.own_environment import last_line
from pipeline.serving.process_groups import running
from pipeline.serving.settings import HOST, ServeSettings, server_command, server_variables

SECONDS_BETWEEN_QUESTIONS = 0.5  # whether the server is ready
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_CHECKS = 10.0  # of a server that runs
SICK_AT_MOST = 3  # checks in a row that may say that the server is not healthy

_ERROR_LINE = re.compile(r"\b\w*(Error|Exception): .+")


class PortInUseError(OSError):
    """Something listens on the port already."""

    exit_code: ClassVar[int] = 2


class ServerFailedError(RuntimeError):
    """The server ended, or was not ready in time; the message names its log."""

    exit_code: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that was ready when this was made."""

    process: subprocess.Popen[bytes]
    base_url: str  # up to and with the version, as a recipe's `endpoint` block wants it
    name: str
    log: Path

    def wait(self) -> None:
        """Wait until the server ends or says that it is not healthy; it should do neither.

        Raises:
            ServerFailedError: when it has.
        """
        sick = 0
        with _open_client() as client:
            while self.process.poll() is None:
                if sick >= SICK_AT_MOST:
                    raise ServerFailedError(f"the server is not healthy; {_log_tail(self.log)}")
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(SECONDS_BETWEEN_CHECKS)
                sick = sick + 1 if _is_sick(client, self) else 0
        raise ServerFailedError(f"the server has ended; {_log_tail(self.log)}")


@contextmanager
def serve(
    environment: ServingEnvironment, settings: ServeSettings, log: Path, say: Say
) -> Iterator[RunningServer]:
    """Start a server, wait until it answers, and end it when the block is left.

    Args:
        environment: with vLLM in it.
        settings: what to serve.
        log: the server's output; written anew.
        say: told how long it takes.

    Raises:
        PortInUseError: if something listens on the port.
        ServerFailedError: if it ends, or is not ready in time.
    """
    require_free_port(settings.port)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    command = server_command(environment, settings)
    variables = server_variables(environment, settings)
    with running(command, variables, log) as process:
        server = RunningServer(process, f"http://{HOST}:{settings.port}/v1", settings.name, log)
        _wait_until_ready(server, settings.patience_seconds, say)
        yield server


def require_free_port(port: int) -> None:
    """Make sure that nothing listens on a port of the loopback.

    Raises:
        PortInUseError: if something does.
    """
    with socket.socket() as probe:
        # As the server does: or a port whose last connection is being closed would count as used.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortInUseError(
                f"port {port} cannot be used ({error.strerror}); name another with --port, "
                "or end what is there"
            ) from None


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))  # 0: any that is free
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(server: RunningServer, patience_seconds: float, say: Say) -> None:
    """Wait until the server is healthy and lists the model.

    Raises:
        ServerFailedError: if it ends before, or the time is over.
    """
    started = time.monotonic()
    said = 0.0
    with _open_client() as client:
        while not _ready(client, server):
            waited = time.monotonic() - started
            if server.process.poll() is not None:
                raise ServerFailedError(
                    f"the server ended before it was ready; {_log_tail(server.log)}"
                )
            if waited > patience_seconds:
                raise ServerFailedError(
                    f"the server was not ready after {waited:.0f} s and was ended; allow more "
                    f"with --wait-seconds. {_log_tail(server.log)}"
                )
            if waited - said >= SECONDS_BETWEEN_LINES:
                said = waited
                say(f"waiting for the server: {waited:.0f} s")
            time.sleep(SECONDS_BETWEEN_QUESTIONS)
    say(f"ready after {time.monotonic() - started:.0f} s")


def _open_client() -> httpx.Client:
    # Not over a proxy: the server is on this machine.
    return httpx.Client(trust_env=False, timeout=10.0)


def _health_page(server: RunningServer) -> str:
    return server.base_url.removesuffix("/v1") + "/health"


def _is_sick(client: httpx.Client, server: RunningServer) -> bool:
    try:
        return not client.get(_health_page(server)).is_success
    except httpx.TransportError:  # no answer in time: a server under load is slow, and not sick
        return False


def _ready(client: httpx.Client, server: RunningServer) -> bool:
    try:
        healthy = client.get(_health_page(server)).is_success
        listed = client.get(f"{server.base_url}/models") if healthy else None
        models = listed.json()["data"] if listed is not None and listed.is_success else []
        return any(model["id"] == server.name for model in models)
    except (httpx.TransportError, ValueError, KeyError, TypeError):
        return False


def _log_tail(log: Path) -> str:
    """What a person should know of a failed server's log: where it is, and its first error."""
    text = log.read_text(encoding="utf-8", errors="replace")
    first = _ERROR_LINE.search(text)
    line = first.group(0)[:300] if first else last_line(log)
    return f"{log} says why ({line!r})" if line else f"its log {log} is empty"
