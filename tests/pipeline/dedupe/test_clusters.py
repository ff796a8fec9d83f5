import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedupe.clusters import keep_order, remove_duplicates
from pipeline.ranking.outcome import Outcome


class Graph:
    """Neighbours by a table of similarities; 0 stands for none."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.kept: list[int] = []

    def closest(self, row: int) -> tuple[int, float] | None:
        near = [(self.table[row, kept], -place) for place, kept in enumerate(self.kept)]
        if not near or max(near)[0] == 0:
            return None
        similarity, place = max(near)
        return self.kept[-place], float(similarity)

    def keep(self, row: int) -> None:
        self.kept.append(row)


def ids(n: int) -> np.ndarray:
    return np.array([f"{i:03}" for i in range(n)], dtype=object)


def components(table: np.ndarray) -> list[set[int]]:
    """Rows that are connected by similar pairs."""
    found: list[set[int]] = []
    for row in range(len(table)):
        joined = [group for group in found if any(table[row, other] for other in group)]
        merged = {row}.union(*joined)
        found = [group for group in found if group not in joined] + [merged]
    return found


@st.composite
def graphs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric table of similarities, and keep scores with ties and gaps."""
    n = draw(st.integers(1, 12))
    similarities = st.sampled_from([0.0, 0.0, 0.0, 0.7, 0.8, 1.0])
    table = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            table[i, j] = table[j, i] = draw(similarities)
    scores = draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), min_size=n, max_size=n))
    return table, np.array(scores)


def check_invariants(table: np.ndarray, scores: np.ndarray, outcome: Outcome) -> None:
    kept = set(outcome.indices)
    for row in range(len(table)):
        if row in kept:
            assert not any(table[row, other] for other in kept), "no two kept rows are copies"
        else:
            cause = outcome.because_of[row]
            assert cause in kept, "a row goes because of one that stayed"
            assert outcome.value[row] == table[row, cause] > 0
            ranks = [np.nan_to_num(scores[r], nan=-1) for r in (cause, row)]
            assert (-ranks[0], cause) < (-ranks[1], row), "and that is better"
            before = [r for r in kept if (-np.nan_to_num(scores[r], nan=-1), r) < (-ranks[1], row)]
            assert outcome.value[row] == max(table[row, r] for r in before), "and most similar"
    for group in components(table):
        best = min(group, key=lambda r: (-np.nan_to_num(scores[r], nan=-1), r))
        assert best in kept, "the best of all connected copies stays"


@given(graphs())
def test_invariants(graph: tuple[np.ndarray, np.ndarray]) -> None:
    table, scores = graph
    check_invariants(table, scores, remove_duplicates(Graph(table), scores, ids(len(scores))))


def test_of_a_pair_the_better_copy_stays() -> None:
    # Both DeitaFiltering copies would go: each is near the other. Here one must stay.
    table = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0.0]])
    outcome = remove_duplicates(Graph(table), np.array([0.1, 0.9, 0.5]), ids(3))
    np.testing.assert_array_equal(outcome.indices, [1, 2])
    assert list(outcome.reasons) == ["near_duplicate", "", ""]
    np.testing.assert_array_equal(outcome.because_of, [1, -1, -1])


def test_there_is_no_chain() -> None:
    # 0 ~ 1 ~ 2, but 2 is no copy of 0. 1 goes because of 0; 2 stays, for 1 is not there any more.
    table = np.array([[0, 0.8, 0], [0.8, 0, 0.8], [0, 0.8, 0]])
    outcome = remove_duplicates(Graph(table), np.array([3.0, 2.0, 1.0]), ids(3))
    np.testing.assert_array_equal(outcome.indices, [0, 2])


def test_a_missing_keep_score_comes_last_and_ties_break_by_id() -> None:
    order = keep_order(np.array([np.nan, -5.0, 1.0, np.nan, 1.0]), np.array(list("edcba")))
    np.testing.assert_array_equal(order, [4, 2, 1, 3, 0])


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        keep_order(np.array([np.inf]), ids(1))
    with pytest.raises(ValueError, match="one length"):
        keep_order(np.ones(2), ids(1))
