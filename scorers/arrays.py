"""Array types shared by the scorers, and the shape and range checks they need."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
"""float64; (n,) unless a docstring says otherwise. NaN: not to be had."""

Ints: TypeAlias = NDArray[np.int64]
"""int64; (n,) unless a docstring says otherwise."""

Strings: TypeAlias = NDArray[np.str_] | NDArray[np.object_]
"""(n,) text."""

MAXIMUM_NATS = 700.0
"""A mean loss above this cannot be: exp(700) is the last power of e that float64 can hold."""


def require_same_length(**columns: NDArray[np.generic]) -> None:
    """Check that all columns describe the same rows.

    Raises:
        ValueError: if first dimensions differ; the message gives every column's shape.
    """
    if len({len(column) for column in columns.values()}) > 1:
        shapes = {name: column.shape for name, column in columns.items()}
        raise ValueError(f"expected columns of one length, got {shapes}")


def require_losses(**losses: Floats) -> None:
    """Check that columns of mean losses, nats per token, describe the same rows and can be losses.

    Raises:
        ValueError: if lengths differ, or a loss is negative or above MAXIMUM_NATS. NaN passes.
    """
    require_same_length(**losses)
    for name, loss in losses.items():
        wrong = loss[(loss < 0) | (loss > MAXIMUM_NATS)]  # NaN compares as false: it passes
        if wrong.size:
            raise ValueError(
                f"{name} is in nats per token, from 0 to {MAXIMUM_NATS:g}, got {wrong[0]:g}; "
                "were log-probabilities or sums passed?"
            )


def require_probabilities(**columns: Floats) -> None:
    """Check that columns lie between 0 and 1.

    Raises:
        ValueError: if a value is outside. NaN passes.
    """
    for name, column in columns.items():
        wrong = column[(column < 0) | (column > 1)]
        if wrong.size:
            raise ValueError(f"{name} is a probability, from 0 to 1, got {wrong[0]:g}")


def require_sums_of_one(named: str, probabilities: Floats) -> None:
    """Check that probabilities (..., k) of k options sum to 1.

    Raises:
        ValueError: if a sum is off by more than 0.001. NaN passes.
    """
    totals = probabilities.sum(axis=-1)
    wrong = totals[np.abs(totals - 1) > 1e-3]  # NaN compares as false
    if wrong.size:
        raise ValueError(f"{named} must sum to 1, got {wrong[0]:g}")


def ratio(over: ArrayLike, under: ArrayLike) -> Floats:
    """Divide (n,) by (n,), neither below 0; NaN where there is nothing to divide by."""
    divisor = np.asarray(under, dtype=np.float64)
    quotient = np.full(len(divisor), np.nan)
    # `where` leaves a 0 or NaN below the line alone: no warning, and no infinity
    np.divide(over, divisor, out=quotient, where=divisor > 0)
    return quotient


def unit(vectors: Floats) -> Floats:
    """Vectors (..., d) at length 1; NaN where one has no direction."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Floats = vectors / np.where(lengths > 0, lengths, np.nan)
    return units
