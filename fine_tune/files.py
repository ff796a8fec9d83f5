"""Files that are written whole or not at all, and folders that a training needs while it runs."""

import os
from pathlib import Path

CACHE_FOLDER = "rows"
CHECKPOINTS_FOLDER = "checkpoints"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)  # on one file system, where a rename is at once
