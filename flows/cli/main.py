"""The command line: verbs, exit codes, and errors as one clear message.

stdout is data, stderr is talk. Nothing heavy is imported before a verb needs it.

Exit codes: 0 done · 1 nothing to select from, an export does not hold, or a gate failed · 2 usage,
recipe or workspace · 3 input unreadable, more bad rows than tolerated, or a disk that is full,
read-only or forbidden · 4 done, with rows quarantined, under --strict · 5 a model or dependency is
missing, or a server is not there · 130 and 143 after Ctrl-C and SIGTERM.
"""

import logging
import os
import signal
import sys
from types import FrameType

import typer

from flows.cli import backfill as backfill_commands
from flows.cli import check as check_commands
from flows.cli import mixture as mixture_commands
from flows.cli import plan as plan_commands
from flows.cli import read as read_commands
from flows.cli import repair as repair_commands
from flows.cli import run as run_commands
from flows.cli import screen as screen_commands
from flows.cli import serve as serve_commands
from flows.cli import suggest as suggest_commands
from flows.cli import trace as trace_command
from flows.cli import what_if as what_if_commands
from flows.cli.disk_errors import explain_fault
from flows.cli.environment import ENVIRONMENT

app = typer.Typer(
    name="sluice",
    help="Curate and select data for supervised fine-tuning, and say why each row is in or out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run_commands.add_to(app)
check_commands.add_to(app)
plan_commands.add_to(app)
mixture_commands.add_to(app)
backfill_commands.add_to(app)
read_commands.add_to(app)
repair_commands.add_to(app)
screen_commands.add_to(app)
serve_commands.add_to(app)
suggest_commands.add_to(app)
what_if_commands.add_to(app)
trace_command.add_to(app)


def print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"sluice {version('sluice-sft')}\n")
        raise typer.Exit


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
        os.environ.setdefault(name, value)
    show_notes()
    signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except KeyboardInterrupt:
        end("stopped; the same command goes on from here", 130)
    except Exception as error:
        code = exit_code(error)
        if code is not None:
            end(f"error: {error}", code)
        if fault := explain_fault(error):
            end(f"error: {fault}", DISK_FAULT)
        if lost := explain_lost(error):
            end_at_once(f"error: {lost}", LOST_SERVER)
        raise


def explain_lost(error: Exception) -> str | None:
    """What to say of a Prefect server that is gone; imported late, for it takes a while."""
    from flows.cli.server_errors import explain_lost_server

    return explain_lost_server(error)


def show_notes() -> None:
    """Have what storage notes, such as that it copies an older workspace, reach the user."""
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("sluice: %(message)s"))
    notes = logging.getLogger("storage")
    notes.addHandler(shown)
    notes.propagate = False  # or Prefect would say it again


def exit_code(error: Exception) -> int | None:
    """The exit code for an error that a user can do something about; None for a bug of ours."""
    names = {each.__name__ for each in type(error).__mro__}
    for code, known in EXIT_CODES.items():
        if names & known:
            return code
    return None


EXIT_CODES = {
    1: {"NoRowsError"},
    2: {
        "RecipeError",
        "NotConvergedError",
        "UnmeasuredTargetsError",
        "BackfillError",
        "DeploymentMissingError",
        "WorkspaceBusyError",
        "WorkspaceMissingError",
        "WorkspaceVersionError",
        "QueryError",
        "WrongNameError",
        "OtherTrainingError",
        "PortInUseError",
        "ClusterError",
        "OtherShardLocationError",
        "OtherWorkerError",
        "ShardsUnreachableError",
    },
    3: {
        "UnreadableSourceError",
        "TooManyBadRowsError",
        "ExportExistsError",
        "IndexDamagedError",
        "TokenMismatchError",
        "LostMeasurementsError",
        "NoRoomForBackupError",
    },
    5: {
        "MissingModelError",
        "MissingExtraError",
        "MissingStorePackageError",
        "EnvironmentSetUpError",
        "ServerFailedError",
        "ServerLostError",
    },
}
"""By class name, so that no error's module need be imported to show `--help`."""

DISK_FAULT = 3
LOST_SERVER = 5
"""For errors that flows/cli/disk_errors.py explains."""


def stop(number: int, frame: FrameType | None) -> None:
    """End on SIGTERM: what was committed stays, the rest is done by the same command again."""
    end("terminated; the same command goes on from here", 143)


def end(message: str, code: int) -> None:
    """Say why, and end."""
    sys.stderr.write(f"sluice: {message}\n")
    sys.exit(code)


def end_at_once(message: str, code: int) -> None:
    """Say why, and end without a last try to send logs to a server that is not there."""
    sys.stderr.write(f"sluice: {message}\n")
    sys.stderr.flush()
    os._exit(code)
