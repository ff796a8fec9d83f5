from pathlib import Path

import numpy as np
import pytest

from storage import indexes
from storage.database import open_workspace
from storage.indexes import RowIndex
from storage.pool_columns import register_pool
from storage.workspace import Workspace


def read(index: RowIndex, folder: Path, ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
    with open_workspace(Workspace(folder / "workspace")) as con:
        register_pool(con, ids)
        return index.read(con, len(ids))


def test_rows_are_found_again_in_any_pool(tmp_path: Path) -> None:
    index = RowIndex(tmp_path / "it's an index", 2)
    index.add(["a", "b"], np.array([[1, 2], [3, 2**32 - 1]], dtype=np.uint32))
    index.add(["c"], np.array([[5, 6]], dtype=np.uint32))
    index.add([], np.empty((0, 2), dtype=np.uint32))
    values, known = read(index, tmp_path, ["c", "x", "b"])
    np.testing.assert_array_equal(values, [[5, 6], [0, 0], [3, 2**32 - 1]])
    np.testing.assert_array_equal(known, [True, False, True])


def test_an_empty_index_knows_nothing(tmp_path: Path) -> None:
    values, known = read(RowIndex(tmp_path / "none", 3), tmp_path, ["a"])
    assert values.shape == (1, 3)
    assert not known.any()
    assert RowIndex(tmp_path / "none", 3).constants() is None


def test_many_pieces_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "MANY_PIECES", 3)
    index = RowIndex(tmp_path / "index", 1)
    for number, name in enumerate("abcd"):
        index.add([name], np.array([[number]], dtype=np.uint32))
    assert len(list(index.directory.iterdir())) == 2
    np.testing.assert_array_equal(read(index, tmp_path, list("abcd"))[0].ravel(), [0, 1, 2, 3])


def test_what_was_half_written_is_not_read(tmp_path: Path) -> None:
    index = RowIndex(tmp_path / "index", 1)
    index.add(["a"], np.array([[7]], dtype=np.uint32))
    (index.directory / ".0123.parquet.99.partial").write_bytes(b"half")
    (index.directory / ".0123.parquet").write_bytes(b"half")
    assert read(index, tmp_path, ["a"])[0] == [[7]]


def test_constants_are_kept(tmp_path: Path) -> None:
    index = RowIndex(tmp_path / "index", 1)
    index.store_constants(np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(index.constants(), np.eye(3))
