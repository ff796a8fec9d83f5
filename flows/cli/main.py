"""The command line: verbs, exit codes, and errors as one clear message.

A verb is a function in the file of its name, and has a line in VERBS here. stdout is data, stderr
is talk. Nothing heavy is imported before a verb needs it.

Exit codes: 0 done · 1 nothing to select from, an export does not hold, or a gate failed · 2 usage,
recipe or workspace · 3 input unreadable, more bad rows than tolerated, or a disk that is full,
read-only or forbidden · 4 done, with rows quarantined, under --strict · 5 a model or dependency is
missing, or a server is not there · 130 and 143 after Ctrl-C and SIGTERM.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import typer

from flows.cli.backfill import backfill
from flows.cli.check import check
from flows.cli.deploy import deploy
from flows.cli.diff import diff
from flows.cli.disk_errors import explain_fault
from flows.cli.doctor import doctor
from flows.cli.environment import ENVIRONMENT
from flows.cli.explain import explain
from flows.cli.gc import gc
from flows.cli.handoff import handoff
from flows.cli.init import init
from flows.cli.mixture import mixture
from flows.cli.models import models
from flows.cli.plan import plan
from flows.cli.quarantine import quarantine
from flows.cli.report import report
from flows.cli.retry import retry
from flows.cli.run import AFTER_CHECK, BEFORE_CHECK, run
from flows.cli.screen import screen
from flows.cli.serve import serve
from flows.cli.server import server
from flows.cli.sql import sql
from flows.cli.suggest import suggest
from flows.cli.trace import trace
from flows.cli.trial import trial
from flows.cli.verify import verify
from flows.cli.verify_handoff import verify_handoff
from flows.cli.verify_tokens import verify_tokens
from flows.cli.view import view
from flows.cli.what_if import what_if
from flows.progress import say
from storage.visible import harmless

VERBS: dict[str, tuple[Callable[..., None], ...]] = {  # heading of `sluice --help` → verbs there
    "Run a recipe": (init, plan, run, backfill, retry),
    "Run a recipe up to a stage": (*BEFORE_CHECK, check, *AFTER_CHECK),
    "See what came of it": (
        view,
        report,
        explain,
        quarantine,
        diff,
        sql,
        trace,
        verify,
        verify_tokens,
    ),
    "Hand it to another trainer": (handoff, verify_handoff),
    "Decide what to do next": (what_if, trial, screen, suggest, mixture),
    "Models, servers and upkeep": (models, serve, server, deploy, doctor, gc),
}

DISK_FAULT, LOST_SERVER = 3, 5  # exit codes where the error is a library's and carries none

app = typer.Typer(
    name="sluice",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug of ours shows Python's own traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)
for heading, verbs in VERBS.items():
    for verb in verbs:
        app.command(verb.__name__.replace("_", "-"), rich_help_panel=heading)(verb)


def print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"sluice {version('sluice-sft')}\n")
        raise typer.Exit  # or the missing verb would be an error


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Curate and select data for supervised fine-tuning, and say why each row is in or out."""


def main() -> None:
    """Run the command line; end with the exit code that the error stands for."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # before any import of what reads it
    show_notes()
    signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except KeyboardInterrupt:
        end("stopped; the same command goes on from here", 130)
    except Exception as error:
        if (code := exit_code(error)) is not None:
            end(f"error: {error}", code)
        if fault := explain_fault(error):
            end(f"error: {fault}", DISK_FAULT)
        from flows.cli.server_errors import explain_lost_server  # it takes a while, for httpx

        if lost := explain_lost_server(error):
            end_at_once(f"error: {lost}", LOST_SERVER)
        raise


NOTING = ("pipeline", "scorers", "storage")
"""Packages whose modules note what a user should see and no result has."""


class Notes(logging.Handler):
    """Has what is noted below the flows reach the user, such as that a workspace is copied."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        say(f"sluice: {record.getMessage()}")


def show_notes() -> None:
    """Say the notes of storage, of readers, and of the scorers' cache of replies."""
    for package in NOTING:
        notes = logging.getLogger(package)
        notes.addHandler(Notes())
        notes.propagate = False  # or Prefect would say it again


def exit_code(error: Exception) -> int | None:
    """The exit code of an error that a user can do something about; None for a bug of ours."""
    code: int | None = getattr(error, "exit_code", None)  # our classes that end a command carry it
    return code


def stop(number: int, frame: FrameType | None) -> None:
    """End on SIGTERM: what was committed stays, the rest is done by the same command again."""
    end("terminated; the same command goes on from here", 143)


def end(message: str, code: int) -> None:
    """Say why, and end."""
    sys.stderr.write(f"sluice: {harmless(message)}\n")
    sys.exit(code)


def end_at_once(message: str, code: int) -> None:
    """Say why, and end without a last try to send logs to a server that is not there."""
    sys.stderr.write(f"sluice: {harmless(message)}\n")
    sys.stderr.flush()
    os._exit(code)  # sys.exit would run Prefect's exit hooks
