"""Errors that say where they happened: Arrow and safetensors tell of a full disk, and not which."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHILE_WRITING = "while writing "
"""How the note begins that is put on an error."""


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Put the path on any error that leaves the block."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{WHILE_WRITING}{path}")
        raise
