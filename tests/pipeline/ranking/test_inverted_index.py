import numpy as np
import pytest

from pipeline.ranking import inverted_index as cells_module
from pipeline.ranking.inverted_index import count_cells, draw_rows, nearest_cells, whole_numbers


def units(n: int, d: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, d))
    scaled: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled.astype(np.float32)


@pytest.mark.parametrize("d", [3, 384, 1024])
def test_products_of_whole_numbers_are_exact(d: int) -> None:
    vectors = whole_numbers(units(50, d))
    exact = vectors.astype(np.int64) @ vectors.T.astype(np.int64)
    assert exact.max() < 2**24
    np.testing.assert_array_equal(vectors @ vectors.T, exact)
    np.testing.assert_array_equal(vectors[:, ::-1] @ vectors.T[::-1], exact)


def test_nearest_cells_are_those_of_the_highest_products(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, centres = units(200, 24), whole_numbers(units(100, 24, 1))
    monkeypatch.setattr(cells_module, "MOST_CELLS", 7)
    found = nearest_cells(vectors, centres)
    products = whole_numbers(vectors) @ centres.T
    np.testing.assert_array_equal(found, np.argsort(-products, axis=1, kind="stable")[:, :7])
    monkeypatch.setattr(cells_module, "ROWS_AT_ONCE", 3)
    np.testing.assert_array_equal(nearest_cells(vectors, centres), found)
    np.testing.assert_array_equal(nearest_cells(vectors[::-1], centres), found[::-1])


def test_in_a_tie_the_lower_cell_is_nearer() -> None:
    centre = whole_numbers(units(1, 8))
    found = nearest_cells(units(5, 8, 1), np.repeat(centre, 9, axis=0))
    np.testing.assert_array_equal(found, np.tile(np.arange(9), (5, 1)))


def test_rows_are_drawn_by_their_ids_alone() -> None:
    ids = np.array([f"{i:04}" for i in range(500)], dtype=object)
    drawn = set(ids[draw_rows(ids, 50, "centres")])
    shuffled = np.random.default_rng(0).permutation(ids)
    assert set(shuffled[draw_rows(shuffled, 50, "centres")]) == drawn
    assert set(ids[draw_rows(ids, 50, "recall")]) != drawn
    fewer = ids[:-50]
    assert len(set(fewer[draw_rows(fewer, 50, "centres")]) & drawn) > 40


def test_cells_grow_with_the_square_root_of_rows() -> None:
    assert [count_cells(n) for n in (0, 1, 100, 10_000, 1_000_000)] == [1, 2, 32, 256, 2048]
