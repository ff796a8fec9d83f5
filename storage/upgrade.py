"""A workspace of an older version: its database is copied before its tables are brought up to date.

    workspace.duckdb.before-migration-N    the database as it was, N statements of MIGRATIONS old
    workspace.duckdb.migrating             there while the tables are changed; names the copy

The copy is whole before anything is changed. A migration that is killed goes on when the workspace
is opened next, and the copy of the state before it stays the only one.
"""

import filecmp
import json
import logging
import os
import shutil
from itertools import count
from pathlib import Path
from typing import ClassVar

log = logging.getLogger(__name__)

COPIES = ".before-migration-"
"""Between the name of a database and the number of statements that had been applied to it."""


class NoRoomForBackupError(OSError):
    """The disk has no room for a copy of the database; nothing was changed."""

    exit_code: ClassVar[int] = 3


def back_up(database: Path, applied: int, until: int) -> None:
    """Copy a database that no connection has open, unless a migration of it was cut short.

    Args:
        database: the file; all that was written to it is in it, and not in its log.
        applied: how many statements of MIGRATIONS it has seen.
        until: how many it will have seen when it is up to date.

    Raises:
        NoRoomForBackupError: if the disk has no room for the copy; nothing was changed then.
    """
    mark = migration_mark(database)
    cut_short = json.loads(mark.read_bytes()) if mark.exists() else None
    if cut_short is not None and applied < cut_short["until"]:
        log.warning("going on with a migration of %s; as it was: %s", database, cut_short["copy"])
        return
    size, free = database.stat().st_size, shutil.disk_usage(database.parent).free
    if free < size:
        raise NoRoomForBackupError(
            f"{database} is of an older version and is copied before its tables are changed. "
            f"That needs {size} bytes, and the disk has {free} free: free some and run the same "
            "command again. Nothing was changed"
        )
    copy = copy_database(database, applied)
    write_synced(mark, json.dumps({"copy": copy.name, "until": until}).encode())
    log.warning(
        "%s is of an older version and is brought up to date; as it was: %s", database, copy.name
    )


def migration_mark(database: Path) -> Path:
    """The file that is there while a database is being changed."""
    return database.with_name(f"{database.name}.migrating")


def copy_database(database: Path, applied: int) -> Path:
    """Copy a database under the first free name; an equal copy that is there already will do."""
    for number in count(1):  # copies of earlier tries are never written over
        more = "" if number == 1 else f".{number}"
        target = database.with_name(f"{database.name}{COPIES}{applied}{more}")
        if not target.exists():
            break
        if filecmp.cmp(database, target, shallow=False):
            return target
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        shutil.copyfile(database, partial)
        sync(partial)  # before the rename, or a power cut could leave the name without the bytes
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    sync(target.parent)  # the name itself
    return target


def write_synced(path: Path, content: bytes) -> None:
    """Write a small file that a power cut does not take back."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    sync(partial)
    partial.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have what was written to a file or folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
