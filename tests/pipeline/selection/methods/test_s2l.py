from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.s2l import RESERVE_SIZE, select_s2l


def allocate(sizes: np.ndarray, budget: int) -> np.ndarray:
    """Equal shares of a budget, groups too small for theirs taken whole, the least first."""
    taken, left = np.zeros(len(sizes), dtype=np.int64), budget
    for place, group in enumerate(np.argsort(sizes, kind="stable")):
        taken[group] = min(int(sizes[group]), left // (len(sizes) - place))
        left -= taken[group]
    return taken


def pool(cells: dict[tuple[str, int], int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, ids and sources of a pool with so many rows in each source and cluster."""
    rows = [cell for cell, size in cells.items() for _ in range(size)]
    ids = np.array([f"{i:04x}" for i in range(len(rows))], dtype=object)
    return np.array([float(r[1]) for r in rows]), ids, np.array([r[0] for r in rows], dtype=object)


@pytest.mark.parametrize(
    ("sizes", "budget", "shares"),
    [
        ([5, 10, 100, 1000], 200, [5, 10, 92, 93]),  # from the largest down only 115 are shared out
        ([1000, 100, 10, 5], 200, [93, 92, 10, 5]),
        ([4, 4, 4], 5, [1, 2, 2]),
        ([3, 0], 10, [3, 0]),
        ([], 7, []),
    ],
)
def test_shares(sizes: list[int], budget: int, shares: list[int]) -> None:
    np.testing.assert_array_equal(allocate(np.array(sizes, dtype=np.int64), budget), shares)


@given(
    st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), st.integers(1, 9)),
    st.integers(0, 60),
)
def test_draws_what_the_shares_of_sources_and_clusters_say(
    cells: dict[tuple[str, int], int], budget: int
) -> None:
    labels, ids, sources = pool(cells)
    picks = select_s2l(labels, ids, Budget(rows=budget), sources=sources).indices
    drawn = Counter((str(sources[i]), int(labels[i])) for i in picks)

    names = sorted({source for source, _ in cells})
    totals = [sum(size for (s, _), size in cells.items() if s == name) for name in names]
    for name, share in zip(names, allocate(np.array(totals, dtype=int), budget), strict=True):
        shared = sorted(c for c, size in cells.items() if c[0] == name and size > RESERVE_SIZE)
        expected = allocate(np.array([cells[c] for c in shared], dtype=int), share)
        assert [drawn[cell] for cell in shared] == expected.tolist()
        assert sum(drawn[c] for c in cells if c[0] == name) == share


def test_a_kind_that_is_rare_gets_as_much_as_a_common_one() -> None:
    labels, ids, _ = pool({("a", 0): 900, ("a", 1): 90, ("a", 2): 10})
    outcome = select_s2l(labels, ids, Budget(rows=30))
    assert Counter(labels[outcome.indices]) == {0: 10, 1: 10, 2: 10}


def test_tiny_clusters_are_drawn_last() -> None:
    labels, ids, _ = pool({("a", 0): 2, ("a", 1): 1, ("a", 2): 5})
    outcome = select_s2l(labels, ids, Budget(rows=6))
    assert set(labels[outcome.indices[:5]]) == {2}
    assert labels[outcome.indices[5]] in (0, 1)


def test_rows_that_are_drawn_last_are_told() -> None:
    # Of b each cluster has 2 rows, so that b is drawn uniformly; as one pool no cluster is small.
    cells = {("a", 0): 5, ("a", 1): 5, ("a", 2): 1, ("b", 0): 2, ("b", 1): 2}
    labels, ids, sources = pool(cells)
    assert select_s2l(labels, ids, Budget(rows=4), sources=sources).notes == (
        "3 of 5 clusters have at most 2 rows in their source: these 5 rows are drawn last and "
        "uniformly, and are 2 of the 4 picks",
    )
    pooled = select_s2l(labels[labels < 2], ids[labels < 2], Budget(rows=4))
    assert pooled.notes == ()


def test_without_sources_there_is_one() -> None:
    labels, ids, sources = pool({("a", 0): 50, ("b", 1): 50, ("b", 2): 50})
    pooled = select_s2l(labels, ids, Budget(rows=12)).indices
    apart = select_s2l(labels, ids, Budget(rows=12), sources=sources).indices
    assert Counter(labels[pooled]) == {0: 4, 1: 4, 2: 4}
    assert Counter(labels[apart]) == {0: 6, 1: 3, 2: 3}


def test_tokens_pay_for_equal_shares_of_rows() -> None:
    labels, ids, _ = pool({("a", 0): 50, ("a", 1): 50})
    tokens = np.where(labels == 0, 10, 30)
    outcome = select_s2l(labels, ids, Budget(loss_tokens=400), tokens)
    assert Counter(labels[outcome.indices]) == {0: 10, 1: 10}


def test_the_draw_depends_on_the_seed_alone_and_grows_with_the_budget() -> None:
    labels, ids, _ = pool({("a", 0): 60, ("a", 1): 60})

    def draw(rows: int, seed: int) -> list[int]:
        return list(select_s2l(labels, ids, Budget(rows=rows), seed=seed).indices)

    assert draw(20, 1) == draw(20, 1)
    assert set(draw(20, 1)) != set(draw(20, 2))
    assert draw(50, 1)[:20] == draw(20, 1)


def test_a_row_without_a_label_is_not_drawn() -> None:
    labels, ids, _ = pool({("a", 0): 4})
    labels[1] = np.nan
    outcome = select_s2l(labels, ids, Budget(rows=9))
    assert set(outcome.indices) == {0, 2, 3}
    assert outcome.reasons[1] == "no_score"
