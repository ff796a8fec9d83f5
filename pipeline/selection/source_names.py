"""The sources of rows by the names that a recipe has for them, and that each name is of some."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from scorers.arrays import Strings
from scorers.names import did_you_mean
from storage.source_paths import has_name


class WrongNameError(ValueError):
    """A recipe's name for rows that none of them has, or two names for one source."""

    exit_code: ClassVar[int] = 2


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
