"""Sources as a recipe calls them: the path they were read from, or a part of it.

`dolly.jsonl`, `raw/dolly.jsonl` and `raw` all name raw/dolly.jsonl: whole parts of the path, in
their order. So a name means the same wherever the recipe is run from, and a folder's name stands
for all of its files.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from scorers.arrays import Strings
from scorers.names import did_you_mean


class WrongNameError(ValueError):
    """A recipe's name for rows that none of them has, or two names for one source."""

    exit_code: ClassVar[int] = 2


def has_name(path: str, name: str) -> bool:
    """Whether a name is the path of a source, or whole parts of it."""
    # Slashes at both ends, so that only whole parts match: "a" is no part of "data".
    return bool(_parts(name)) and f"/{_parts(name)}/" in f"/{_parts(path)}/"


def _parts(path: str) -> str:
    """A path without empty parts and detours."""
    return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))


def name_sources(paths: Strings, names: Sequence[str]) -> Strings:
    """What each row's source is called.

    Args:
        paths: (n,) of the sources.
        names: what a recipe calls some of them.

    Returns:
        (n,) the name; the path where no name is that of the source.

    Raises:
        WrongNameError: if a source has two of the names.
    """
    # Few sources have many rows: each path is compared once. distinct[indices] are the paths.
    distinct, indices = np.unique(np.asarray(paths, dtype=np.str_), return_inverse=True)
    called = np.empty(len(distinct), dtype=object)
    for at, path in enumerate(distinct.tolist()):
        found = [name for name in names if has_name(path, name)]
        if len(found) > 1:
            raise WrongNameError(f"{' and '.join(found)} both name {path}: give longer names")
        called[at] = found[0] if found else path
    named: Strings = called[indices]
    return named


def require_known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Check that every group a recipe names is there.

    Raises:
        WrongNameError: if one is not; the message names the nearest, and those that are.
    """
    there = set(known)
    for name in names:
        if name not in there:
            raise WrongNameError(f"no row has the {what} {name!r}. {did_you_mean(name, there)}")
