from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import orjson
import pytest

from pipeline.text.suffix_array import SuffixIndex, build_index
from pipeline.tracing.index_files import read_index, write_index

ROWS = [("a b", "c d"), ("b c", "")]


def test_an_index_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    index = build_index(ROWS)
    write_index(tmp_path / "here", "hash", index)
    found = read_index(tmp_path / "here", "hash")
    assert found is not None
    for field in fields(SuffixIndex):
        old, new = getattr(index, field.name), getattr(found, field.name)
        np.testing.assert_array_equal(old, new)
        assert old.dtype == new.dtype and type(new) is np.ndarray
    assert found.find(found.encode(["b"])) == index.find(index.encode(["b"]))
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_empty_rows_can_be_kept(tmp_path: Path) -> None:
    write_index(tmp_path / "here", "hash", build_index([]))
    found = read_index(tmp_path / "here", "hash")
    assert found is not None and found.rows == 0


def cut_off(folder: Path) -> None:
    (folder / "order.npy").write_bytes((folder / "order.npy").read_bytes()[:-4])


def shorter(folder: Path) -> None:
    np.save(folder / "order.npy", np.load(folder / "order.npy")[:-1])


def nonsense(folder: Path) -> None:
    (folder / "index.json").write_text("{")


def older(folder: Path) -> None:
    described = orjson.loads((folder / "index.json").read_bytes())
    (folder / "index.json").write_bytes(orjson.dumps({**described, "version": 0}))


def lost(folder: Path) -> None:
    (folder / "tokens.npy").unlink()


@pytest.mark.parametrize("damage", [cut_off, shorter, nonsense, older, lost])
def test_a_damaged_index_counts_as_not_there(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    write_index(tmp_path / "here", "hash", build_index(ROWS))
    damage(tmp_path / "here")
    assert read_index(tmp_path / "here", "hash") is None


def test_an_index_of_other_rows_counts_as_not_there(tmp_path: Path) -> None:
    write_index(tmp_path / "here", "hash", build_index(ROWS))
    assert read_index(tmp_path / "here", "other") is None
    assert read_index(tmp_path / "nowhere", "hash") is None


def test_a_new_index_takes_the_place_of_another(tmp_path: Path) -> None:
    write_index(tmp_path / "here", "hash", build_index(ROWS))
    write_index(tmp_path / "here", "other", build_index([]))
    assert read_index(tmp_path / "here", "other") is not None


def test_a_kill_while_writing_leaves_no_half_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        write_index(tmp_path / "here", "hash", build_index(ROWS))
    assert read_index(tmp_path / "here", "hash") is None
    assert all(path.name.endswith(".partial") for path in tmp_path.iterdir())
