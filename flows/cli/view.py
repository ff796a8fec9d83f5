"""`sluice view`: a run in the browser: its verdict, its rows, and why each is in or out."""

import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import HERE, ReviewerOption, WorkspaceOption, login_name
from flows.cli.output import print_text
from flows.progress import say

if TYPE_CHECKING:
    from pipeline.reporting.what_if import WhatIf

LOOPBACK = "127.0.0.1"


def view(
    recipe: Annotated[
        Path | None,
        typer.Argument(help="A recipe, so that other settings can be tried; or give -w."),
    ] = None,
    workspace: WorkspaceOption = HERE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine can then ask.")
    ] = LOOPBACK,
    reviewer: ReviewerOption = "",
) -> None:
    """Show a workspace in the browser: verdict, rows, scores, pairs; Ctrl-C ends it.

    Prints an address with a token, without which nothing is shown. It listens on this machine only,
    loads nothing from elsewhere, and reads while runs write. Only verdicts of reviews are written.
    """
    import uvicorn

    from pipeline.viewing.app import make_app
    from pipeline.viewing.opened_run import Viewer
    from storage.database import read_tables
    from storage.workspace import Workspace

    reviewer = reviewer or login_name()
    viewer = Viewer(Workspace(workspace), reviewer=reviewer)
    if recipe is not None:
        from flows.recipe.check import load_recipe

        loaded = load_recipe(recipe)
        place = Workspace(Path(loaded.at(recipe.parent).workspace))
        viewer = Viewer(place, what_if_of(recipe), str(recipe), reviewer)
    with read_tables(viewer.workspace):  # that there is one is told before anything listens
        pass
    server = uvicorn.Server(
        uvicorn.Config("", host=host, port=port, log_level="warning", access_log=False)
    )
    listening = server.config.bind_socket()
    at = listening.getsockname()[1]
    token = secrets.token_urlsafe(24)
    names = {host, LOOPBACK, "localhost"} if host in (LOOPBACK, "localhost") else {host}
    server.config.app = make_app(viewer, token, [f"{name}:{at}" for name in sorted(names)])
    print_text(f"http://{host}:{at}/?token={token}\n")
    sys.stdout.flush()  # a script waits for it, and this command goes on
    if host not in (LOOPBACK, "localhost"):
        say("whoever can reach this address and knows the token can read every row")
    say("open it in a browser; Ctrl-C ends it")
    server.run(sockets=[listening])


def what_if_of(recipe: Path) -> "Callable[[str, Sequence[str]], WhatIf]":
    """What a run of a recipe would select with other settings."""
    from flows.cli.what_if import try_settings
    from flows.recipe.check import load_recipe

    def answer(run_id: str, settings: Sequence[str]) -> "WhatIf":
        return try_settings(load_recipe(recipe, settings), recipe.parent, run_id)

    return answer
