"""Where rows lie on a map: their embeddings in two dimensions.

By principal components, which only turn the vectors and look at them from the side on which they
spread most: distances on the map are never longer than between the vectors, and two groups that
lie apart are apart. Or by PaCMAP (arXiv:2012.04456), which pulls like rows together: it shows
groups that the first does not, and how far groups are from each other says little.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.extras import MissingExtraError, install_extra
from storage.vectors import VectorBlock

LayoutMethod = Literal["pca", "pacmap"]

Blocks = Callable[[], Iterable[VectorBlock]]
"""Reads the vectors of some rows, block by block; may be asked several times."""

PACMAP_LEAST = 20
"""Rows that PaCMAP needs: it pairs each with ten near and five farther ones."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows in two dimensions."""

    places: NDArray[np.float32]
    """(n, 2); NaN where a row has no vector."""
    variance: float
    """Share of the vectors' variance that the two components hold; NaN of other methods."""


def lay_out_pca(read: Blocks, n: int) -> Layout:
    """Project n rows on their first two principal components, in two passes over the vectors."""
    many, total, products = 0, np.zeros(1), np.zeros((1, 1))
    for _, vectors in read():
        exact = vectors.astype(np.float64)
        many, total = many + len(exact), total + exact.sum(axis=0)
        products = products + exact.T @ exact
    places = np.full((n, 2), np.nan, dtype=np.float32)
    if many < 2 or len(total) < 2:
        return Layout(places, float("nan"))
    mean = total / many
    values, directions = np.linalg.eigh(products / many - np.outer(mean, mean))  # ascending
    axes = directions[:, [-1, -2]]
    # A direction is one either way round: its largest part is made positive.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, [0, 1]])
    for at, vectors in read():
        places[at] = (vectors - mean) @ axes
    spread = float(values.clip(0).sum())
    return Layout(places, float(values[-2:].sum()) / spread if spread else float("nan"))


def lay_out_pacmap(read: Blocks, n: int) -> Layout:
    """Lay n rows out by PaCMAP, the same ones in the same way; all vectors are in memory.

    Raises:
        ValueError: if there are too few rows.
    """
    import pacmap  # compiles for twenty seconds

    blocks = list(read())
    places = np.full((n, 2), np.nan, dtype=np.float32)
    at = np.concatenate([np.zeros(0, dtype=np.int64), *(each for each, _ in blocks)])
    if len(at) < PACMAP_LEAST:
        raise ValueError(f"PaCMAP needs {PACMAP_LEAST} rows with embeddings, there are {len(at)}")
    order = np.argsort(at)  # blocks come in any order, and the layout depends on it
    vectors = np.concatenate([each for _, each in blocks])[order]
    places[at[order]] = pacmap.PaCMAP(n_components=2, random_state=0).fit_transform(vectors)
    return Layout(places, float("nan"))


def layout_version(method: LayoutMethod) -> str:
    """The version of the package that lays out; "" where it is ours.

    Raises:
        MissingExtraError: if it is not installed.
    """
    if method == "pca":
        return ""
    try:
        return version("pacmap")
    except PackageNotFoundError as error:
        raise MissingExtraError(f"PaCMAP is not installed: {install_extra('map')}") from error


LAYOUTS: dict[LayoutMethod, Callable[[Blocks, int], Layout]] = {
    "pca": lay_out_pca,
    "pacmap": lay_out_pacmap,
}
