"""What readers write: a line of JSON for each row that a trainer holds, in its order."""

import importlib.machinery
import json
import os
import shlex
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

IdsAndLabels: TypeAlias = tuple[Iterable[int], Iterable[int]]
"""Ids and labels."""


def write_held_rows(read: Callable[[], Mapping[str, Iterable[IdsAndLabels]]]) -> None:
    """Read the rows of the folder that the command line names, and write them where it says.

    Args:
        read: split → rows; called in the folder.
    """
    folder, out = map(Path, sys.argv[1:])
    out = out.resolve()
    os.chdir(folder)
    with out.open("w", encoding="utf-8") as file:
        for split, rows in read().items():
            for ids, labels in rows:
                row: dict[str, Any] = {"split": split}
                row |= {"input_ids": list(map(int, ids)), "labels": list(map(int, labels))}
                file.write(json.dumps(row) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some trainers leave threads behind that never end


def split_files() -> dict[str, str]:
    """Split → its data file, of the splits that are there."""
    found = {path.stem: str(path) for path in sorted(Path("data").iterdir())}
    return {split: found[split] for split in ("train", "validation") if split in found}


def command_words() -> list[str]:
    """The words of the command in train.sh, its lines joined."""
    script = Path("train.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    return shlex.split(script, comments=True)


def stand_in(*names: str) -> None:
    """Put empty modules in place of packages that a trainer imports and rows of text do not need.

    Args:
        names: of modules: for media or for launching jobs, not to be had or not to be wanted here.
    """
    for name in names:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
