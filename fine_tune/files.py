"""Files that are written whole or not at all, and folders that a training needs while it runs."""

import os
from pathlib import Path

from fine_tune.method import Tuned

CACHE_FOLDER = "rows"
CHECKPOINTS_FOLDER = "checkpoints"
ADAPTER_FOLDER = "adapter"
MODEL_FOLDER = "model"
"""Where all of the weights were trained."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)  # on one file system, where a rename is at once


def weights_folder(tune: Tuned) -> str:
    """The folder, in that of a training, of what it trained."""
    return MODEL_FOLDER if tune == "full" else ADAPTER_FOLDER
