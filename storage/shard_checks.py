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

from storage.shard_files import is_url
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
    inode: int
    bytes: int
    changed_ns: int


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

    Those in an object store are not read for this: the store has checksums of its own, and they
    would come over the network twice. `sluice verify` reads them too.
    """
    files = find_shard_location(directory_of(con)).below("measurements")
    if is_url(files.root):
        return []
    committed = con.execute(COMMITTED, {"measure_key": measure_key}).fetchall()
    named = [(files.address(path), sha256) for path, sha256 in committed]
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # hashing holds no lock of Python's
        sound = list(threads.map(is_sound, named))
    return [path for (path, _), holds in zip(named, sound, strict=True) if not holds]


def is_sound(named: tuple[str, str]) -> bool:
    """Whether a file, by its path, has this SHA-256."""
    path, sha256 = named
    try:
        with open(path, "rb") as file:
            found = os.stat(file.fileno())
            seen = HashedFile(path, sha256, found.st_ino, found.st_size, found.st_mtime_ns)
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
