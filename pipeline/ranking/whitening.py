"""Whitening: vectors turned and stretched so that a pool spreads alike in every direction.

    z = diag(lambda)^(-1/2) U' (x - mean),   U, lambda: eigenvectors and -values of the covariance

Hidden states differ in a few directions most of all, and these decide every cosine; whitened, all
count alike. Mean and covariance are of the pool, and what rows are compared with goes through the
same map. Directions of hardly any spread are rounding, and are left out: eigenvalues below 1e-6 of
the largest.

CRDS-W, arXiv:2602.13773.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats, Ints

FLOOR = 1e-6
"""Of the largest eigenvalue: smaller ones are left out."""

BLOCK_ROWS = 4096  # whose vectors are in memory as float64


@dataclass(frozen=True, slots=True)
class Whitening:
    """The map, from vectors (d,) to (k,)."""

    mean: Floats  # (d,)
    directions: Floats  # (d, k) eigenvectors over the root of their eigenvalues
    rows: int  # that it was fitted on

    @property
    def dimensions(self) -> int:
        """How many directions are left, k."""
        return int(self.directions.shape[1])

    def units(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Vectors (n, d) as whitened ones (n, k) of length 1; NaN where one has no direction."""
        found = np.full((len(vectors), self.dimensions), np.nan, dtype=np.float32)
        for start in range(0, len(vectors), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            turned = (vectors[part].astype(np.float64) - self.mean) @ self.directions
            lengths = np.linalg.norm(turned, axis=1, keepdims=True)
            found[part] = turned / np.where(lengths > 0, lengths, np.nan)
        return found


def fit_whitening(vectors: NDArray[np.floating], rows: Ints, dimensions: int) -> Whitening:
    """Find the map that whitens some rows.

    Args:
        vectors: (n, d)
        rows: (m,) those of them that it is fitted on, none with a NaN; the order may move the last
            digits.
        dimensions: most directions that are kept, those of most spread.

    Raises:
        ValueError: if there are fewer than two rows, or they are all the same.
    """
    if len(rows) < 2:
        raise ValueError(f"whitening is fitted on two rows or more, got {len(rows)}")
    blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]
    total = np.zeros(vectors.shape[1])
    for block in blocks:
        total += vectors[block].astype(np.float64).sum(axis=0)
    mean = total / len(rows)
    covariance = np.zeros((len(mean), len(mean)))
    for block in blocks:  # around the mean: of sums of squares the small directions would drown
        centred = vectors[block].astype(np.float64) - mean
        covariance += centred.T @ centred
    values, directions = np.linalg.eigh(covariance / (len(rows) - 1))  # ascending
    if not values[-1] > 0:
        raise ValueError(f"{len(rows)} rows have the same vector: there is nothing to whiten")
    kept = np.flatnonzero(values >= FLOOR * values[-1])[::-1][:dimensions]
    return Whitening(mean, directions[:, kept] / np.sqrt(values[kept]), len(rows))
