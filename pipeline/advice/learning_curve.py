"""Whether more rows would pay: nested slices to train on, and a power law through their scores.

    score(n) = a - b n^(-c)

Stop buying rows when doubling them adds less than the noise of the evaluation. A law through so few
points says little of rows far beyond them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.selection.methods.random import random_keys
from scorers.arrays import Floats, Ints

SMALL_TASK = 120
"""A task of fewer rows cannot be split into rows to train, to validate and to test."""

SLICES = (50, 100, 200, 500, 1000)
EXPONENTS = np.geomspace(0.02, 3, 200)


@dataclass(frozen=True, slots=True)
class NestedSlices:
    """Rows for a curve of scores by rows."""

    test: Sequence[str]
    """Ids of rows that no slice has."""
    train: Sequence[str]
    """Ids of the largest slice; the first so many of them are the smaller ones."""
    sizes: Sequence[int]
    """Rows of each slice; none where there are too few rows to be split."""


def nested_slices(
    ids: Sequence[str], sizes: Sequence[int] = SLICES, test: int = 100, seed: int = 0
) -> NestedSlices:
    """Cut rows into those to test on and nested slices to train on.

    Args:
        ids: distinct example ids.
        sizes: of the slices; those that there are no rows for are left out.
        test: rows kept aside.
        seed: of the order, which is a hash of the ids.
    """
    if len(ids) < max(SMALL_TASK, test + 1):
        return NestedSlices((), (), ())
    keys = random_keys(ids, seed, "slices")
    order = [example_id for _, example_id in sorted(zip(keys.tolist(), ids, strict=True))]
    # The test rows come first: they stay the same when another size is asked for.
    fitting = [size for size in sorted(sizes) if size <= len(order) - test]
    return NestedSlices(order[:test], order[test:][: max(fitting, default=0)], fitting)


def gain_of_doubling(rows: Ints, scores: Floats) -> float:
    """What twice the rows would add to a score, by a power law through the scores so far.

    Args:
        rows: (k,) trained on, at least 3 different numbers above 0.
        scores: (k,) held-out scores, higher is better.

    Raises:
        ValueError: if there are too few points.
    """
    if len(rows) != len(scores) or len(np.unique(rows)) < 3 or (rows <= 0).any():
        raise ValueError(f"a power law needs scores at 3 or more numbers of rows, got {rows}")
    _, b, c = min(_fit_power(rows, scores, exponent) for exponent in EXPONENTS)
    largest = float(rows.max())
    return float(b * (largest**-c - (2 * largest) ** -c))  # a cancels


class _PowerFit(NamedTuple):
    """A law, and how well it fits: the least of several is the best."""

    square_error: float
    b: float
    c: float


def _fit_power(rows: Ints, scores: Floats, exponent: float) -> _PowerFit:
    """The best law with this exponent c: it is linear in a and b."""
    columns = np.column_stack([np.ones(len(rows)), -(rows.astype(np.float64) ** -exponent)])
    found = np.linalg.lstsq(columns, scores, rcond=None)[0]
    error = float(((columns @ found - scores) ** 2).sum())
    return _PowerFit(error, float(found[1]), float(exponent))
