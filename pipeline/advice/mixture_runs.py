"""Read what short trainings on different mixtures came to: one row for each run and checkpoint.

Columns: `mixture`, `checkpoint` (from 0), `p.NAME` for the proportion of each source and `s.NAME`
for the score on each benchmark. In JSON Lines proportions and scores may also be objects under `p`
and `s`.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.advice.mixture_model import MixtureRuns
from pipeline.ingest.readers import UnreadableSourceError
from scorers.arrays import Floats, Strings

MixtureRow = Mapping[str, Any]

SUM_TOLERANCE = 0.01
"""Proportions may be rounded; they must add up to 1 within this."""


def read_mixture_runs(path: Path) -> tuple[MixtureRuns, int]:
    """Read a file of runs: CSV if its name ends so, or JSON Lines.

    Returns:
        The runs, and how many rows were left out because a score is missing.

    Raises:
        UnreadableSourceError: if the file cannot be read as runs; the message names the line.
    """
    rows = [*read_mixture_rows(path)]
    if not rows:
        raise UnreadableSourceError(f"{path} holds no run")
    first = rows[0][1]  # its columns are those of all
    proportions, scores = ([n for n in first if n.startswith(prefix)] for prefix in ("p.", "s."))
    if not proportions or not scores:
        raise UnreadableSourceError(
            f"{path}: expected columns p.NAME for proportions and s.NAME for scores, "
            f"got {', '.join(first)}"
        )
    columns, split = ("checkpoint", *proportions, *scores), 1 + len(proportions)
    table = np.array([[number(path, *each, name) for name in columns] for each in rows])
    names = np.array([str(row.get("mixture", "")) for _, row in rows], dtype=object)
    check_rows(path, [line for line, _ in rows], names, table[:, :split])
    whole = ~np.isnan(table).any(axis=1)  # only a score may be NaN here: number() refuses the rest
    table = table[whole]
    if not len(table):
        raise UnreadableSourceError(f"{path}: every run lacks a score")
    runs = MixtureRuns(
        mixtures=names[whole],
        proportions=table[:, 1:split],
        checkpoints=table[:, 0].astype(np.int64),
        scores=table[:, split:],
        sources=tuple(name.removeprefix("p.") for name in proportions),
        benchmarks=tuple(name.removeprefix("s.") for name in scores),
    )
    return runs, int((~whole).sum())


def read_mixture_rows(path: Path) -> Iterator[tuple[int, MixtureRow]]:
    """Each row with its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except FileNotFoundError:
        raise UnreadableSourceError(f"there is nothing at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSourceError(f"{path}: {error}") from error
    if path.suffix.lower() == ".csv":
        for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):  # 1: the names
            if None in row:  # where the reader puts what is left over
                raise UnreadableSourceError(f"{path}, line {line}: more fields than columns")
            yield line, row
        return
    for line, raw in enumerate(text.splitlines(), start=1):
        if raw.strip():
            yield line, flatten(path, line, raw)


def flatten(path: Path, line: int, raw: str) -> MixtureRow:
    """One line of JSON with the objects `p` and `s` as columns."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise UnreadableSourceError(f"{path}, line {line}: {error}") from error
    if not isinstance(value, dict):
        raise UnreadableSourceError(f"{path}, line {line}: expected an object")
    flat: dict[str, Any] = {}
    for name, each in value.items():
        nested = name in ("p", "s") and isinstance(each, dict)
        flat |= {f"{name}.{key}": v for key, v in each.items()} if nested else {name: each}
    return flat


def number(path: Path, line: int, row: MixtureRow, name: str) -> float:
    """A number of a row; NaN for a score that is not there."""
    value = row.get(name)
    if name.startswith("s.") and str(value).lower() in ("none", "", "nan"):
        return math.nan
    try:
        found = float(str(value))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UnreadableSourceError(f"{path}, line {line}: {name} must be a number, got {value!r}")
    return found


def check_rows(path: Path, lines: list[int], names: Strings, table: Floats) -> None:
    """Raise UnreadableSourceError for a wrong name, checkpoint (column 0) or proportion."""
    sums = table[:, 1:].sum(axis=1)
    wrong = [
        (names == "", "it names no mixture"),
        ((table[:, 0] < 0) | (table[:, 0] % 1 != 0), "checkpoint must be a whole number from 0"),
        ((table[:, 1:] < 0).any(axis=1), "a proportion is below 0"),
        (
            np.abs(sums - 1) > SUM_TOLERANCE,
            "the proportions do not add up to 1; divide each row by its sum",
        ),
    ]
    for mask, problem in wrong:
        if mask.any():
            first = int(np.argmax(mask))  # argmax of booleans: the first that is true
            raise UnreadableSourceError(f"{path}, line {lines[first]}: {problem}")
