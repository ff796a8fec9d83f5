"""The map of a run: computed when it is first looked at, and kept under a key of all it depends on.

It lies beside the indexes of the workspace, and like them may be deleted at any time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.viewing.map_layout import LAYOUTS, Layout, LayoutMethod, layout_version
from pipeline.viewing.opened_run import OpenedRun, RunMap, Viewer
from pipeline.viewing.row_page import embedded
from storage.conversations import content_hash
from storage.error_notes import whole_file
from storage.measurements import MeasureKey
from storage.vectors import VectorBlock, read_vector_blocks

VERSION = 1

MOST_POINTS = 100_000
"""That are drawn, and that PaCMAP lays out."""


def read_map(viewer: Viewer, opened: OpenedRun, method: LayoutMethod) -> RunMap | None:
    """The map of a run, computed if it is not there yet; None where nothing is embedded.

    Raises:
        MissingExtraError: if the method is not installed.
        ValueError: if the rows are too few for it.
    """
    if method in opened.maps:
        return opened.maps[method]
    found = embedded(opened)
    if found is None:
        return None
    of, key = found
    ids = opened.rows.ids()
    # Ids are hashes: every n-th by id is a part drawn at random, and the same.
    every = max(1, -(-len(ids) // MOST_POINTS))  # -(-a // b) rounds up
    asked = ids if method == "pca" else ids[::every]
    folder = viewer.workspace.indexes
    file = folder / f"map-{map_key(method, key, asked)}.npz"
    with viewer.map_lock:  # two that ask at once compute once
        if not file.exists():
            store(file, compute(viewer, key, asked, method))
        with np.load(file, allow_pickle=False) as stored:
            places, variance = stored["places"], float(stored["variance"])
    whole = np.full((len(ids), 2), np.nan, dtype=np.float32)
    whole[:: 1 if method == "pca" else every] = places
    there = np.flatnonzero(~np.isnan(whole[:, 0]))
    drawn = there[:: max(1, -(-len(there) // MOST_POINTS))]
    opened.maps[method] = RunMap(of, whole, variance, drawn)
    return opened.maps[method]


def map_key(method: LayoutMethod, key: MeasureKey, ids: list[str]) -> str:
    """What a map depends on, as one hash: the rows, their vectors, and what lays them out."""
    by = layout_version(method)
    return content_hash([VERSION, method, by, key.measure_key, content_hash(ids)])[:16]


def compute(viewer: Viewer, key: MeasureKey, ids: list[str], method: LayoutMethod) -> Layout:
    """Lay rows out; the workspace is open only while vectors are read."""

    def read() -> Iterator[VectorBlock]:
        with viewer.reading() as con:
            yield from read_vector_blocks(con, key, "embedding", ids)

    return LAYOUTS[method](read, len(ids))


def store(file: Path, layout: Layout) -> None:
    """Keep a layout; a file that is there is whole."""
    # An open file, for NumPy would add .npz to the temporary name.
    with whole_file(file) as partial, partial.open("wb") as opened:
        np.savez(opened, places=layout.places, variance=layout.variance)
