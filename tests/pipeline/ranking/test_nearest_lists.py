"""Lists of the nearest rows, found in blocks and longer when used up, are those of a full sort."""

import numpy as np
import pytest

from pipeline.ranking import nearest_lists
from pipeline.ranking.greedy_diverse import cosine_between
from pipeline.ranking.nearest_lists import NearestLists


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def full_sort(units: np.ndarray, queries: np.ndarray, group: np.ndarray) -> list[int]:
    """Every row by its highest cosine with a query of the group, the lower row in a tie."""
    n = len(units)
    cosines = np.stack(
        [cosine_between(units, np.arange(n), queries, np.full(n, q)) for q in group]
    ).max(axis=0)
    return [int(row) for row in np.lexsort((np.arange(n), -cosines))]


def walked(lists: NearestLists, group: int, n: int) -> list[int]:
    """All rows of a list, each taken in turn."""
    free, rows = np.ones(n, dtype=np.bool_), []
    while (found := lists.next_free(group, free)) is not None:
        place, near = found
        rows.append(int(near.rows[place]))
        free[rows[-1]] = False
    return rows


@pytest.mark.parametrize("first", [1, 7, 500])
@pytest.mark.parametrize("block", [32, 1 << 21])
def test_lists_that_are_extended_are_the_full_sort(
    first: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest_lists, "TARGET_PRODUCTS", block)
    rng = np.random.default_rng(first)
    units = unit(rng.integers(-2, 3, (300, 6)) + 0.1)  # a grid: many rows are equally near
    queries = unit(rng.standard_normal((5, 6)))
    groups = [np.array([0]), np.array([1, 4]), np.array([2, 3])]
    lists = NearestLists(units, queries, groups, first)
    for number, group in enumerate(groups):
        assert walked(lists, number, 300) == full_sort(units, queries, group)


@pytest.mark.parametrize("first", [1, 10])
def test_products_may_be_off_by_as_much_as_the_margin(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, margin = np.random.default_rng(0), 0.1
    monkeypatch.setattr(nearest_lists, "margin_of", lambda d: margin)
    multiply = NearestLists._multiply

    def blurred(self: NearestLists, rows: np.ndarray | slice, queries: np.ndarray) -> np.ndarray:
        exact = multiply(self, rows, queries)
        return exact + rng.choice([-0.99, 0.99], exact.shape).astype(np.float32) * np.float32(
            margin
        )

    monkeypatch.setattr(NearestLists, "_multiply", blurred)
    units, queries = unit(rng.standard_normal((300, 6))), unit(rng.standard_normal((5, 6)))
    groups = [np.array([0]), np.array([1, 2, 3, 4])]
    lists = NearestLists(units, queries, groups, first)
    for number, group in enumerate(groups):
        assert walked(lists, number, 300) == full_sort(units, queries, group)


def test_the_nearest_query_of_a_group_is_named_with_its_cosine() -> None:
    units = unit(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    queries = unit(np.array([[3.0, 0.0], [0.0, 5.0]]))
    _, near = NearestLists(units, queries, [np.array([0, 1])], 3).next_free(
        0, np.ones(3, bool)
    ) or (
        0,
        None,
    )
    assert near is not None and near.whole
    assert near.rows.tolist() == [0, 1, 2]
    assert near.query.tolist() == [0, 1, 0], "the first of two that are as near"
    np.testing.assert_allclose(near.similarity, [1, 1, 0.707107])
