"""`sluice server`: a Prefect server that keeps the pages of runs."""

import os
import socket
import sys
from typing import Annotated

import typer

from flows.progress import say

LOOPBACK = "127.0.0.1"


def server(
    port: Annotated[int, typer.Option(help="The port.")] = 4200,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for a team: see docs/operations.md.")
    ] = LOOPBACK,
    database: Annotated[
        str | None, typer.Option(help="postgresql+asyncpg://USER@HOST/NAME; SQLite if not given.")
    ] = None,
) -> None:
    """Start a Prefect server that keeps the pages of runs; Ctrl-C ends it."""
    local = host in (LOOPBACK, "localhost")
    url = f"http://{LOOPBACK if local else socket.gethostname()}:{port}"
    say(f"in another terminal: export PREFECT_API_URL={url}/api\nthen run; pages are at {url}")
    if not local and not os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        say(
            "whoever can reach this address can read every page and start runs as the workers' "
            "user; set PREFECT_SERVER_API_AUTH_STRING=NAME:PASSWORD to ask for a password"
        )
    os.environ["PREFECT_SERVER_UI_API_URL"] = "/api"  # or its pages look for port 4200
    if database:
        os.environ["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    command = ["prefect", "server", "start", "--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", *command])  # in place: Ctrl-C reaches Prefect
