"""Whether files of measurements are what was committed: each process hashes what it reads, once.

Neither Parquet's compression nor DuckDB notices every flipped bit: without, a number would be
another one and nobody the wiser.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

import duckdb
import pyarrow as pa

from storage.shard_files import ShardFiles, explained, is_url
from storage.shard_location import find_shard_location

COMMITTED = """
select path, sha256 from shards
where measure_key = coalesce($measure_key, measure_key) and sha256 is not null order by path
"""
"""A version before 0.2 stored no hash."""

DIRECTORY = "select path from duckdb_databases() where database_name = 'workspace'"


class DamagedMeasurementsError(ValueError):
    """A file of measurements is not what was committed."""

    exit_code: ClassVar[int] = 3


class HashedFile(NamedTuple):
    """A file as it was when its hash was right; one that was written since is another."""

    path: str
    sha256: str
    state: str
    """What tells it from one that was written in its place."""


SOUND: set[HashedFile] = set()
"""Files that this process has hashed."""


@contextmanager
def telling_damage(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Say which file DuckDB could not read because it is not what was committed.

    A view is over the files of all keys, and one that is cut short fails whoever reads another.
    """
    try:
        yield
    except (duckdb.Error, pa.ArrowException):
        require_sound(con, None)
        raise


def require_sound(con: duckdb.DuckDBPyConnection, measure_key: str | None) -> None:
    """Raise DamagedMeasurementsError unless the files of a key, or all, are what was committed."""
    if damaged := find_damaged(con, measure_key):
        raise DamagedMeasurementsError(describe_damage(damaged, directory_of(con)))


def find_damaged(con: duckdb.DuckDBPyConnection, measure_key: str | None) -> list[str]:
    """Paths of those of a key's files, or of all, that are not what was committed, or gone.

    Those in an object store come over the network for this, once for a process.
    """
    files = find_shard_location(directory_of(con)).below("measurements")
    committed = con.execute(COMMITTED, {"measure_key": measure_key}).fetchall()
    if not committed:
        return []
    states = files.states() if is_url(files.root) else None

    def holds(named: tuple[str, str]) -> bool:
        path, sha256 = named
        if states is None:
            return is_sound(files.address(path), sha256)
        return is_sound_in_store(files, path, sha256, states.get(path))

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # hashing holds no lock of Python's
        sound = list(threads.map(holds, committed))
    paired = zip(committed, sound, strict=True)
    return [files.address(path) for (path, _), is_so in paired if not is_so]


def is_sound_in_store(files: ShardFiles, name: str, sha256: str, state: str | None) -> bool:
    """Whether a file of a store has this SHA-256; None as its state: it is not there.

    Raises:
        ShardsUnreachableError: if the store does not let it be read.
    """
    if state is None:
        return False
    seen = HashedFile(files.address(name), sha256, state)
    if seen in SOUND:
        return True
    with explained(files.root):
        if files.hash_file(name) != sha256:
            return False
    SOUND.add(seen)
    return True


def is_sound(path: str, sha256: str) -> bool:
    """Whether a file of this machine has this SHA-256."""
    try:
        with open(path, "rb") as file:
            found = os.stat(file.fileno())
            state = f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
            seen = HashedFile(path, sha256, state)
            if seen in SOUND:
                return True
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return False
    except FileNotFoundError:
        return False
    SOUND.add(seen)
    return True


def directory_of(con: duckdb.DuckDBPyConnection) -> Path:
    """The directory of the workspace that a connection has open."""
    ((path,),) = con.execute(DIRECTORY).fetchall()
    return Path(path).parent


def describe_damage(paths: Iterable[str], directory: Path) -> str:
    """Which files are damaged, and what to do about it."""
    first, *more = paths
    others = f" (and {len(more)} more)" if more else ""
    return (
        f"{first}{others} is not the file of measurements that was written there: its numbers "
        "cannot be trusted. Put a sound copy back, or remove it and let "
        f"`sluice gc --lost -w {directory}` forget it: the next run measures its rows again. "
        f"`sluice verify -w {directory}` looks at every file"
    )
