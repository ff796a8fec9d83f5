"""Nothing is sent out: every socket of a run and of all processes it starts is watched.

Python tells an audit hook of each address that is looked up or connected to, in every process that
a run starts, the temporary Prefect server among them. Libraries that open sockets without Python
are caught by looking at the connections of the whole process tree all along.
"""

import ipaddress
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.killed_workspace import write_project

pytestmark = pytest.mark.slow

LOOK_EVERY_SECONDS = 0.1

HOOK = """
import json, os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        told = arguments[1]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        told = arguments[0]
    else:
        return
    text = isinstance(told, (bytes, str))
    line = json.dumps([event, repr(told) if text else list(told or ())], default=str)
    with open(os.environ["WATCHED"], "a") as file:
        file.write(line + "\\n")
sys.addaudithook(watch)
"""

HERE = {"localhost", "127.0.0.1", "::1", "", "None"}


def is_here(event: str, told: str | list[object]) -> bool:
    """Whether an address is of this machine: loopback, or a socket file."""
    if isinstance(told, str):
        host = told.strip("b'\"")
        return event == "socket.connect" or host in HERE  # a socket file has no host
    host = str(told[0]) if told else ""
    return host in HERE or ipaddress.ip_address(host).is_loopback


def watch_tree(process: subprocess.Popen[bytes]) -> set[str]:
    """Remote addresses, other than this machine's, of a process and its children till its end."""
    seen: set[str] = set()
    while process.poll() is None:
        try:
            whole = psutil.Process(process.pid)
            for each in [whole, *whole.children(recursive=True)]:
                remote = [c.raddr.ip for c in each.net_connections("inet") if c.raddr]
                seen.update(ip for ip in remote if not ipaddress.ip_address(ip).is_loopback)
        except psutil.Error:
            pass
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_SECONDS)
    return seen


def run_watched(tmp_path: Path, command: list[str]) -> tuple[list[list[object]], set[str]]:
    """Run a command; what the hook was told, and what the tree had open."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    watched = tmp_path / "watched.jsonl"
    unset = (
        "DO_NOT_TRACK",
        "HF_HUB_OFFLINE",
        "PREFECT_API_URL",
        "PREFECT_SERVER_ANALYTICS_ENABLED",
    )
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {
        "PYTHONPATH": str(hook),
        "WATCHED": str(watched),
        "PREFECT_HOME": str(tmp_path / "home"),
    }
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        outside = watch_tree(process)
    assert process.returncode == 0, (tmp_path / "log.txt").read_text()
    return [json.loads(line) for line in watched.read_text().splitlines()], outside


def test_a_run_speaks_to_this_machine_only(tmp_path: Path) -> None:
    write_project(tmp_path)
    sluice = str(Path(sys.executable).parent / "sluice")
    told, outside = run_watched(tmp_path, [sluice, "run", "recipe.yaml"])
    connects = [each for each in told if each[0] == "socket.connect"]
    assert connects, "the hook saw no connection, not even that to Prefect's server: it is blind"
    abroad = [each for each in told if not is_here(str(each[0]), each[1])]  # type: ignore[arg-type]
    assert abroad == []
    assert outside == set()


def test_the_watch_sees_what_a_child_of_a_child_sends(tmp_path: Path) -> None:
    send = "from socket import *; socket(AF_INET, SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {send!r}])"
    told, _ = run_watched(tmp_path, [sys.executable, "-c", child])
    assert ["socket.sendto", ["192.0.2.1", 9]] in told
    assert not is_here("socket.sendto", ["192.0.2.1", 9])
