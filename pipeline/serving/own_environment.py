"""A virtual environment of its own for a program: set up once, whole or not at all.

    PLACE/NAME/        the environment; complete.json is written into it last
    PLACE/NAME.log     what venv and pip said
    PLACE/NAME.lock    held by the process that sets it up

Without complete.json an environment is what an interrupted set-up left: it is removed and made
again. A complete one is never changed; a new version goes into a folder of its own.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.progress import Report, Say
from pipeline.serving.process_groups import running

COMPLETE = "complete.json"
SECONDS_BETWEEN_REPORTS = 5.0


class EnvironmentSetUpError(RuntimeError):
    """An environment could not be set up; the message says why and what to do."""

    exit_code: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class OwnEnvironment:
    """The folder of an environment, whether or not it is there."""

    directory: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    @property
    def is_complete(self) -> bool:
        """Whether it was set up to the end."""
        return (self.directory / COMPLETE).is_file()

    @property
    def log(self) -> Path:
        """Where the set-up's log is."""
        return self._beside("log")

    @property
    def lock(self) -> Path:
        """What the process holds that sets it up."""
        return self._beside("lock")

    def _beside(self, ending: str) -> Path:
        # Not with_suffix: a version has points in it.
        return self.directory.with_name(f"{self.directory.name}.{ending}")

    def pip(self, verb: str, *arguments: str) -> list[str]:
        """The command of its own pip."""
        options = ["--disable-pip-version-check", "--no-input"]
        return [str(self.python), "-m", "pip", verb, *options, *arguments]


@dataclass(slots=True)
class SetUpSteps:
    """Runs one step after the other, each to its end."""

    what: str
    """What is set up, for messages."""
    log: Path
    # A file descriptor, which each step is given too: a pip that outlives a killed set-up still
    # holds the lock, and the next set-up waits for it.
    lock: int
    report: Report
    total: int
    """How many steps there are."""
    done: int = 0

    def run(self, *command: str) -> None:
        """Run one step, and tell now and then that it goes on.

        Raises:
            EnvironmentSetUpError: if it fails.
        """
        self._tell()
        with running(command, clean_variables(), self.log, held=[self.lock]) as process:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(SECONDS_BETWEEN_REPORTS)
                    break
                self._tell()
        if code != 0:
            raise EnvironmentSetUpError(
                f"setting up {self.what} failed: {' '.join(command[1:])} ended with {code}. "
                f"{self.log} says why (its last line: {last_line(self.log)!r}). The same command "
                "tries again"
            )
        self.done += 1

    def _tell(self) -> None:
        self.report(f"setting up {self.what}", self.done, self.total)


def set_up_once(
    environment: OwnEnvironment,
    what: str,
    steps: int,
    make: Callable[[SetUpSteps], str],
    say: Say,
    report: Report,
) -> None:
    """Make an environment, or find it made.

    Args:
        environment: where it is to be.
        what: is set up, for messages.
        steps: how many of them `make` runs.
        make: runs them, in an empty place; gives what was installed, to be written down.
        say: is told what an interrupted set-up left, and of another process that sets it up.
        report: is told how many steps are done.

    Raises:
        EnvironmentSetUpError: if a step fails.
    """
    if environment.is_complete:
        return
    environment.directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(environment.lock, what, say) as lock:
        if environment.is_complete:  # another process may have made it meanwhile
            return
        if environment.directory.exists():
            say(f"{environment.directory} is what an interrupted set-up left; it is made again")
            shutil.rmtree(environment.directory)
        environment.log.write_bytes(b"")
        installed = make(SetUpSteps(what, environment.log, lock, report, steps))
        _write_complete(environment, installed)


def clean_variables() -> dict[str, str]:
    """This process's environment variables, without what would lead another Python astray."""
    astray = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in astray}


def last_line(log: Path) -> str:
    """The last line of a log with something on it, at most 300 characters of it."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def _write_complete(environment: OwnEnvironment, installed: str) -> None:
    facts = {"requirement": installed, "python": sys.version.split()[0]}
    partial = environment.directory / f"{COMPLETE}.partial"
    partial.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    partial.replace(environment.directory / COMPLETE)  # at once: it is there whole or not at all


@contextmanager
def _locked(path: Path, what: str, say: Say) -> Iterator[int]:
    """Hold a lock that goes with the process and its steps, however they end; its descriptor."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process sets up {what}; waiting for it ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
