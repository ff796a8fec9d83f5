"""Files written whole, and errors that say where: Arrow tells of a full disk, and not which."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHILE_WRITING = "while writing "  # how the note begins that is put on an error


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Put the path on any error that leaves the block."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{WHILE_WRITING}{path}")  # a note, so that its class stays what it was
        raise


@contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside one, to be renamed to it when it is whole; else gone in the end.

    Its name is the same for all processes: what a killed one left is written over.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing_to(folder):
            partial.mkdir(parents=True)
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes the file when the block ends without an error."""
    # Beside it, where a rename is at once; named by the process, for two may write the same.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
