"""Embeddings of evaluation sets come back as they went, or not at all."""

from pathlib import Path

import numpy as np

from storage.evaluation_vectors import read_evaluation_vectors, write_vectors
from storage.workspace import Workspace


def test_vectors_are_kept_under_their_key(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    vectors = np.array([[0.5, -1.0, 0.25], [np.nan] * 3])
    assert read_evaluation_vectors(workspace, "key") is None
    write_vectors(workspace, "key", vectors)
    found = read_evaluation_vectors(workspace, "key")
    assert found is not None and found.dtype == np.float64
    np.testing.assert_array_equal(found, vectors)
    assert [path.name for path in workspace.evaluations.iterdir()] == ["key.parquet"]


def test_no_text_no_vector(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_vectors(workspace, "key", np.empty((0, 4)))
    found = read_evaluation_vectors(workspace, "key")
    assert found is not None and found.shape == (0, 4)
