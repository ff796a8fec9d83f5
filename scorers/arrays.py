"""Array types shared by the scorers, and the one shape check they need."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
"""float64; (n,) unless a docstring says otherwise. NaN: not to be had."""

Strings: TypeAlias = NDArray[np.str_] | NDArray[np.object_]
"""(n,) text."""


def require_same_length(**columns: NDArray[np.generic]) -> None:
    """Check that all columns describe the same rows.

    Raises:
        ValueError: if first dimensions differ; the message gives every column's shape.
    """
    if len({len(column) for column in columns.values()}) > 1:
        shapes = {name: column.shape for name, column in columns.items()}
        raise ValueError(f"expected columns of one length, got {shapes}")
