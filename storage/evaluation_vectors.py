"""Embeddings of evaluation sets: one Parquet file for each content and model, kept in a workspace.

A file is under its name whole or not at all. It can be deleted at any time: it is made again.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.error_notes import whole_file
from storage.workspace import Workspace


def vectors_file(workspace: Workspace, key: str) -> Path:
    """Where the embeddings of a key lie, if they are there."""
    return workspace.evaluations / f"{key}.parquet"


def read_evaluation_vectors(workspace: Workspace, key: str) -> NDArray[np.float64] | None:
    """(n, d) embeddings, NaN where a text had none; None if they are not there."""
    path = vectors_file(workspace, key)
    if not path.exists():
        return None
    table = pq.read_table(path)
    d = table["embedding"].type.list_size
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors: NDArray[np.float64] = flat.reshape(-1, d).astype(np.float64)
    return vectors


def write_vectors(workspace: Workspace, key: str, vectors: NDArray[np.float64]) -> None:
    """Keep embeddings (n, d); as float32, which is what models give."""
    flat = pa.array(vectors.astype(np.float32).reshape(-1), pa.float32())
    table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})
    with whole_file(vectors_file(workspace, key)) as partial:
        pq.write_table(table, partial)
