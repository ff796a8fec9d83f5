"""An index of rows as files: written once, whole or not at all, and mapped into memory after that.

A folder has each array as .npy, and index.json with what it is an index of. What is of other rows,
of another version or damaged counts as not there, and is built anew.
"""

import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.text.suffix_array import SuffixIndex

VERSION = 1  # raise it whenever the same rows may give another index
DESCRIPTION = "index.json"


def read_index(folder: Path, corpus: str) -> SuffixIndex | None:
    """The index in a folder; None if there is none, or not of the rows with the hash `corpus`."""
    try:
        described = orjson.loads((folder / DESCRIPTION).read_bytes())
        arrays = {name: map_array(folder, name) for name in array_names()}
    except (OSError, ValueError):  # not there, cut off, or no such file as it should be
        return None
    shapes = {name: describe_array(array) for name, array in arrays.items()}
    if described != {"version": VERSION, "corpus": corpus, "arrays": shapes}:
        return None
    return SuffixIndex(**arrays)


def write_index(folder: Path, corpus: str, index: SuffixIndex) -> None:
    """Write an index under its final name, in place of what is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process that had this number
    partial.mkdir()
    arrays = {name: getattr(index, name) for name in array_names()}
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array, allow_pickle=False)
    shapes = {name: describe_array(array) for name, array in arrays.items()}
    described = {"version": VERSION, "corpus": corpus, "arrays": shapes}
    (partial / DESCRIPTION).write_bytes(orjson.dumps(described))
    shutil.rmtree(folder, ignore_errors=True)  # a folder takes the place of an empty one only
    partial.rename(folder)


def array_names() -> list[str]:
    """The arrays of an index."""
    return [field.name for field in fields(SuffixIndex)]


def map_array(folder: Path, name: str) -> np.ndarray[Any, Any]:
    """An array of a folder, of which only what is looked at is read."""
    # A plain array over the same bytes: slices of a memmap are slow to make.
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))


def describe_array(array: np.ndarray[Any, Any]) -> list[object]:
    """Type and length of an array."""
    return [array.dtype.str, len(array)]
