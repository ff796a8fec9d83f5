"""The map on the page that is one file: a part of the rows, as points of a picture.

They are laid out by themselves, by components, so that the end of a run reads the vectors of this
part alone: a point may lie otherwise than on the map of `sluice view`, which lays out all rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.viewing.map_layout import lay_out_pca
from pipeline.viewing.opened_run import OpenedRun
from pipeline.viewing.row_page import embedded
from storage.database import Connection
from storage.vectors import VectorBlock, read_vector_blocks

MOST_DRAWN = 4_000
"""Points, of 15 bytes each."""

WIDTH, HEIGHT, MARGIN = 1000, 600, 12


@dataclass(frozen=True, slots=True)
class PointGroup:
    """The drawn rows of one status."""

    name: str
    rows: int
    path: str
    """Of SVG: a stroke without a length, and so a dot, at each place."""


@dataclass(frozen=True, slots=True)
class FixedMap:
    """A map that is drawn."""

    of: str
    """The text that was embedded."""
    rows: int
    """Of the run."""
    asked: int
    """Those of the part."""
    groups: list[PointGroup]
    """The largest first, which the others are drawn on."""
    variance: float

    @property
    def drawn(self) -> int:
        """Rows that have a place."""
        return sum(each.rows for each in self.groups)


def draw_map(con: Connection, opened: OpenedRun) -> FixedMap | None:
    """The map of a run; None where nothing is embedded, or too little to tell directions."""
    found = embedded(opened)
    if found is None:
        return None
    of, key = found
    ids = opened.rows.ids()
    # Ids are hashes: every n-th by id is a part drawn at random, and the same.
    every = max(1, -(-len(ids) // MOST_DRAWN))  # -(-a // b) rounds up
    asked = ids[::every]
    blocks = list(read_vector_blocks(con, key, "embedding", asked))
    if not blocks:
        return None
    # They come in any order, and a sum of floats depends on it.
    at = np.concatenate([each for each, _ in blocks])
    order = np.argsort(at)
    vectors = np.concatenate([each for _, each in blocks])[order]

    def read() -> Iterator[VectorBlock]:
        yield at[order], vectors

    layout = lay_out_pca(read, len(asked))
    there = ~np.isnan(layout.places[:, 0])
    if not there.any():
        return None
    codes, names = opened.rows.codes("status")
    x, y = on_picture(layout.places[there])
    shown = codes[::every][there]
    groups = [
        PointGroup(
            name or "none",
            int((shown == code).sum()),
            "".join(
                f"M{a:.1f} {b:.1f}h0"
                for a, b in zip(x[shown == code], y[shown == code], strict=True)
            ),
        )
        for code, name in enumerate(names)
        if (shown == code).any()
    ]
    groups.sort(key=lambda each: (-each.rows, each.name))
    return FixedMap(of, len(ids), len(asked), groups, layout.variance)


def on_picture(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places as x and y of a picture whose y grows downwards; one unit is as long both ways."""
    low, high = places.min(axis=0), places.max(axis=0)
    room = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    scale = float((room / np.maximum(high - low, 1e-9)).min())
    moved = (places - (low + high) / 2) * scale
    return WIDTH / 2 + moved[:, 0], HEIGHT / 2 - moved[:, 1]
