"""Where rows lie: by two components as a singular value decomposition has them, or by PaCMAP."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from pipeline.extras import MissingExtraError
from pipeline.viewing import map_layout
from pipeline.viewing.map_layout import lay_out_pacmap, lay_out_pca, layout_version
from storage.vectors import VectorBlock

VECTORS = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32) * [5, 1, 3, 0.5, 0.1]


def blocks(order: list[int], vectors: np.ndarray = VECTORS) -> Iterator[VectorBlock]:
    for part in np.array_split(order, 3):
        yield part.astype(np.int64), vectors[part].astype(np.float32)


def test_two_components_are_those_of_a_singular_value_decomposition() -> None:
    given = [n for n in range(60) if n != 7]
    layout = lay_out_pca(lambda: blocks(given), 60)
    centred = VECTORS[given] - VECTORS[given].mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * sizes[:2]
    np.testing.assert_allclose(np.abs(layout.places[given]), np.abs(expected), atol=1e-4)
    assert np.isnan(layout.places[7]).all(), "it has no vector"
    assert layout.variance == pytest.approx((sizes[:2] ** 2).sum() / (sizes**2).sum())


def test_the_order_of_blocks_and_the_sign_of_a_direction_make_no_difference() -> None:
    forth = lay_out_pca(lambda: blocks(list(range(60))), 60).places
    back = lay_out_pca(lambda: blocks(list(range(59, -1, -1))), 60).places
    np.testing.assert_allclose(forth, back, atol=1e-5)
    centred = VECTORS - VECTORS.mean(axis=0)
    axes = np.linalg.lstsq(centred, forth, rcond=None)[0]  # the directions that were taken
    assert (axes[np.abs(axes).argmax(axis=0), [0, 1]] > 0).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_have_no_place(rows: int) -> None:
    layout = lay_out_pca(lambda: blocks(list(range(rows))) if rows else iter(()), 3)
    assert np.isnan(layout.places).all() and np.isnan(layout.variance)


def test_equal_rows_lie_in_one_place() -> None:
    layout = lay_out_pca(lambda: blocks([0, 1, 2], np.ones((3, 5))), 3)
    np.testing.assert_allclose(layout.places, 0, atol=1e-6)
    assert np.isnan(layout.variance), "nothing differs"


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(map_layout, "version", missing)
    with pytest.raises(MissingExtraError, match=r"\[map\]"):
        layout_version("pacmap")
    assert layout_version("pca") == ""


@pytest.mark.slow
def test_pacmap_parts_groups_and_gives_the_same_places_again() -> None:
    pytest.importorskip("pacmap")
    rng = np.random.default_rng(1)
    group = np.arange(90) % 3
    vectors = (np.eye(8)[group] + rng.normal(0, 0.05, (90, 8))).astype(np.float32)
    first = lay_out_pacmap(lambda: blocks(list(range(90)), vectors), 91)
    again = lay_out_pacmap(lambda: blocks(list(range(89, -1, -1)), vectors), 91)
    np.testing.assert_array_equal(first.places, again.places)
    assert np.isnan(first.places[90]).all()
    middles = np.stack([first.places[:90][group == n].mean(axis=0) for n in range(3)])
    far = np.linalg.norm(first.places[:90, None] - middles, axis=2)  # (rows, groups)
    assert (far.argmin(axis=1) == group).all()
    with pytest.raises(ValueError, match="needs 20 rows with embeddings, there are 9"):
        lay_out_pacmap(lambda: blocks(list(range(9)), vectors), 9)
