"""The lock of a workspace: one process at a time works on it; one that can wait lets others pass.

A run holds it from its start to its end, so that nothing moves under it. A backfill gives it back
after any piece of work if somebody wants it. Two lock files make that fair: whoever has
`turn.lock` works, whoever has `next.lock` comes next. The system frees them when their process
ends, however it ends.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from storage.database import WorkspaceBusyError
from storage.database_file import make_directory
from storage.workspace import Workspace

POLL_SECONDS = 0.2  # a freed lock is noticed after so long

SECONDS_BETWEEN_WORDS = 60.0  # somebody who waits says so this often


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a workspace."""

    what: str  # such as "run demo"
    pid: int
    host: str
    since: str  # UTC, to the second
    yields: bool  # whether it lets others pass

    def __str__(self) -> str:
        """In words."""
        return f"{self.what} (process {self.pid} on {self.host}, since {self.since} UTC)"


@dataclass(frozen=True, slots=True)
class WorkspaceLock:
    """The lock while it is held."""

    folder: Path

    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        next_in_line = file_lock(self.folder / "next.lock")
        try:
            next_in_line.acquire(timeout=0)
        except Timeout:
            return True
        next_in_line.release()  # taken for a moment, to see whether somebody has it
        return False


@contextmanager
def lock_workspace(
    workspace: Workspace,
    what: str,
    *,
    wait: bool = False,
    yields: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[WorkspaceLock]:
    """Work on a workspace alone.

    Args:
        workspace: made if it is not there.
        what: is done with it; others are told.
        wait: for a run that has it, however long that takes. One that yields is always waited for.
        yields: whether the lock will be given back soon after somebody wants it.
        tell: is called with what is waited for, now and then.

    Raises:
        WorkspaceBusyError: if a run has it that does not yield, unless told to wait.
    """
    folder = workspace.lock_folder
    make_directory(folder)
    held = file_lock(folder / "turn.lock")
    stand_in_line(held, folder, what, wait, tell)
    try:
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        write_holder(folder, Holder(what, os.getpid(), socket.gethostname(), since, yields))
        yield WorkspaceLock(folder)
    finally:
        (folder / "holder.json").unlink(missing_ok=True)  # while ours: then it is another's note
        held.release()


def stand_in_line(
    held: FileLock, folder: Path, what: str, wait: bool, tell: Callable[[str], None]
) -> None:
    """Come next, then take the lock; nobody takes it past those who wait."""
    in_line = file_lock(folder / "next.lock")
    last_word = -SECONDS_BETWEEN_WORDS  # so that the first is said at once
    try:
        for lock in (in_line, held):  # in this order, or late comers could take a freed turn
            while not try_to(lock):
                holder = read_holder(folder)
                if not wait and holder is not None and not holder.yields:
                    raise WorkspaceBusyError(
                        f"{folder.parent} is in use: {holder}. Wait for it with --wait, or stop it"
                    )
                if time.monotonic() - last_word > SECONDS_BETWEEN_WORDS:
                    tell(f"{what}: waiting for {holder or 'another process'}")
                    last_word = time.monotonic()
                time.sleep(POLL_SECONDS)
    finally:
        in_line.release()  # the next may stand here while we work


def file_lock(path: Path) -> FileLock:
    """A lock of its own for each call: two of one process keep each other out as well.

    Raises:
        OSError: on a file system without locks; a lock that outlives its process will not do.
    """
    return FileLock(path, thread_local=False, fallback_to_soft=False, preserve_lock_file=True)


def try_to(lock: FileLock) -> bool:
    """Take a lock, if it is free."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def write_holder(folder: Path, holder: Holder) -> None:
    """Leave a note of who works."""
    partial = folder / f".holder.{os.getpid()}.partial"
    partial.write_bytes(orjson.dumps(asdict(holder)))
    partial.rename(folder / "holder.json")


def read_holder(folder: Path) -> Holder | None:
    """The note of who works; None while nobody does."""
    with suppress(FileNotFoundError):
        return Holder(**orjson.loads((folder / "holder.json").read_bytes()))
    return None
