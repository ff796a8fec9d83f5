"""What lies where a workspace's database should be, when DuckDB will not have it, in one line."""

from pathlib import Path
from typing import ClassVar

import duckdb

DUCKDB_AT, DUCKDB = 8, b"DUCK"
"""Where a file of DuckDB's has its mark, and which."""

OTHERS = {b"SQLite format 3\0": "a SQLite database", b"PAR1": "a Parquet file"}
"""How a file begins → what it is."""

# What DuckDB says of a file; it has no classes of its own for it.
NEWER = "database file with version number"
NO_LOG = "Failure while replaying WAL"
DAMAGED = ("Corrupt database file", "Could not read enough bytes")


class DatabaseFileError(ValueError):
    """The file of a workspace's database is damaged, or another program's."""

    exit_code: ClassVar[int] = 2


def explain_database_error(file: Path, error: duckdb.Error) -> DatabaseFileError | None:
    """What is wrong with the database that an error came from, and what to do about it.

    Returns:
        None where it is not the file: a query that was wrong, or a disk that is full.
    """
    said = (str(error).splitlines() or [""])[0]
    if NEWER in said:
        return DatabaseFileError(
            f"{file} was written by a newer DuckDB than the {duckdb.__version__} that is installed "
            "here: use the installation of Sluice that wrote it, or upgrade this one"
        )
    if NO_LOG in said:
        return DatabaseFileError(
            f"{file}.wal, the log of what was last written to the database, is damaged. Move it "
            f"away: what is in {file.name} stays, and the same command does the rest again. "
            f"DuckDB says: {said}"
        )
    if found := foreign_kind(file):
        return foreign(file, found)
    if any(words in said for words in DAMAGED) or isinstance(error, duckdb.SerializationException):
        return DatabaseFileError(
            f"{file} is damaged or cut short. Put a copy of it back, or move the workspace away: "
            f"the next run makes a new one, and measures again. DuckDB says: {said}"
        )
    return None


def foreign_kind(file: Path) -> str | None:
    """What a file is that DuckDB never wrote; None for one that it did, or that cannot be read."""
    if file.is_dir():
        return "a directory"
    try:
        with file.open("rb") as content:
            begins = content.read(max(DUCKDB_AT + len(DUCKDB), *map(len, OTHERS)))
    except OSError:
        return None  # a fault of the disk, which has words of its own
    if not begins:
        return "an empty file"
    if begins[DUCKDB_AT:].startswith(DUCKDB):
        return None
    named = (kind for start, kind in OTHERS.items() if begins.startswith(start))
    return next(named, "a file of some other kind")


def foreign(file: Path, found: str) -> DatabaseFileError:
    """The error for something else in the database's place."""
    return DatabaseFileError(
        f"{file} is {found}, and no database of a workspace. Move it away, or name another "
        "workspace"
    )


def make_directory(folder: Path) -> None:
    """Make a workspace's directory, or one in it; raise DatabaseFileError if a file is in the way.

    Raises:
        OSError: if it cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(each for each in (folder, *folder.parents) if each.exists())
        raise DatabaseFileError(
            f"{file} is a file, and a workspace is a directory: name another one"
        ) from None
