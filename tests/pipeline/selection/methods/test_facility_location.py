from itertools import combinations

import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.facility_location import (
    SCALE,
    Coverage,
    lazy_greedy,
    rank_weights,
    select_facility_location,
    similarity_table,
)

ALL = Budget(fraction=1.0)


def pool(n: int, copies: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clustered unit vectors, the last `copies` of them like the first, and ids in no order."""
    rng = np.random.default_rng(n)
    vectors = rng.standard_normal((6, 5))[rng.integers(0, 6, n)]
    vectors += 0.4 * rng.standard_normal((n, 5))
    vectors[n - copies :] = vectors[:copies]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([f"{i:04x}" for i in rng.permutation(n)], dtype=object)
    return vectors.astype(np.float32), ids


def plain_greedy(table: np.ndarray, weights: np.ndarray, k: int) -> list[int]:
    """Every row looked at for every pick; the first one in a tie."""
    best = np.zeros(len(table), dtype=np.int64)
    picks: list[int] = []
    for _ in range(k):
        gains = np.maximum(table, best).astype(np.int64) @ weights
        gains[picks] = -1
        picks.append(int(np.argmax(gains)))
        best = np.maximum(best, table[picks[-1]])
    return picks


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_picks_are_those_of_the_plain_loop(distance: str, weighted: bool) -> None:
    vectors, _ = pool(120, copies=30)
    table = similarity_table(vectors, distance)  # type: ignore[arg-type]
    weights = rank_weights(np.arange(120.0) % 7) if weighted else np.ones(120, dtype=np.int64)
    found = lazy_greedy(table, weights, np.ones(120, dtype=np.int64), 70)
    assert found.picks.tolist() == plain_greedy(table, weights, 70)
    assert found.gains.sum() == np.max(table[found.picks], axis=0).astype(np.int64) @ weights
    assert (np.diff(found.gains) <= 0).all()


def test_the_picks_of_euclidean_are_those_over_any_constant_less_the_distance() -> None:
    vectors, ids = pool(60)
    exact = vectors.astype(np.float64)
    apart = np.linalg.norm(exact[:, None] - exact[None], axis=2)
    order = np.argsort(ids.astype(str))
    similarity = (apart.max() - apart)[order][:, order]
    best = np.zeros(60)
    picks: list[int] = []
    for _ in range(12):
        picks.append(int(np.argmax(np.maximum(similarity, best).sum(axis=1))))
        best = np.maximum(best, similarity[picks[-1]])
    found = select_facility_location(
        vectors, ids, Budget(rows=12), coverage=Coverage(distance="euclidean")
    )
    assert found.indices.tolist() == order[picks].tolist()


def test_f_is_at_least_its_bound_of_the_best() -> None:
    vectors, ids = pool(12)
    table = similarity_table(vectors).astype(np.int64)
    outcome = select_facility_location(vectors, ids, Budget(rows=3)).indices
    best = max(table[list(rows)].max(axis=0).sum() for rows in combinations(range(12), 3))
    assert (1 - 1 / np.e) * best <= table[outcome].max(axis=0).sum() <= best


def test_a_covered_row_names_the_pick_nearest_to_it() -> None:
    vectors = np.array([[0.8, 0.6], [0, 1], [1, 0], [np.nan, 0]], dtype=np.float32)
    outcome = select_facility_location(vectors, np.array(list("abcd")), Budget(rows=2))
    # f of one pick: a 1 + .8 + .9, b .8 + 1 + .5, c .9 + .5 + 1. Beside a, b adds .2 and c .1.
    assert outcome.indices.tolist() == [0, 1]
    assert list(outcome.reasons) == ["", "", "covered", "no_embedding"]
    assert outcome.because_of.tolist() == [-1, -1, 0, -1]
    np.testing.assert_allclose(outcome.value, [2.7 / 3, 0.2 / 3, 0.9, np.nan], atol=1e-6)


def test_of_two_picks_as_near_the_first_is_named() -> None:
    vectors = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float32)
    outcome = select_facility_location(vectors, np.array(list("abcd")), Budget(rows=2))
    assert outcome.indices.tolist() == [0, 1]
    assert outcome.because_of.tolist() == [-1, -1, 0, 0]


def test_a_score_makes_rows_count_more_when_they_are_covered() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    ids, one = np.array(list("abcd")), Budget(rows=1)
    assert select_facility_location(vectors, ids, one).indices.tolist() == [0]
    scores = np.array([1.0, 2.0, 3.0, 9.0])
    # Weights 1, 3, 5, 7: a and b cover .5 * 5 more, c .5 * (1 + 3 + 7), d 7 + .5 * 5.
    outcome = select_facility_location(vectors, ids, one, scores=scores)
    assert outcome.indices.tolist() == [2] and outcome.value[2] == (5 + 0.5 * 11) / 16
    unscored = select_facility_location(vectors, ids, one, scores=np.array([1, 2, np.nan, 9.0]))
    assert unscored.reasons[2] == "no_score"


def test_equal_scores_weigh_alike() -> None:
    assert rank_weights(np.array([2.0, 1.0, 2.0, 5.0])).tolist() == [4, 1, 4, 7]


def test_a_large_pool_is_sampled_by_a_hash_of_the_ids() -> None:
    vectors, ids = pool(50)
    few = Coverage(most_rows=20, seed=1)
    outcome = select_facility_location(vectors, ids, Budget(rows=5), coverage=few)
    assert np.sum(outcome.reasons == "not_drawn") == 30
    assert np.sum(outcome.reasons == "covered") == 15
    other = select_facility_location(
        vectors, ids, Budget(rows=5), coverage=Coverage(most_rows=20, seed=2)
    )
    assert set(np.flatnonzero(other.reasons == "not_drawn")) != set(
        np.flatnonzero(outcome.reasons == "not_drawn")
    )


def test_copies_come_last_and_the_budget_is_met() -> None:
    vectors, ids = pool(20, copies=5)
    outcome = select_facility_location(vectors, ids, ALL).indices
    assert len(outcome) == 20
    originals = {min(i, 15 + i, key=lambda row: ids[row]) for i in range(5)}
    assert originals <= set(outcome[:15].tolist())


def test_ends_before_the_first_pick_that_does_not_fit() -> None:
    vectors = np.array([[0.8, 0.6], [0, 1], [1, 0]], dtype=np.float32)
    ids, tokens = np.array(list("abc")), np.array([10, 11, 1])
    outcome = select_facility_location(vectors, ids, Budget(loss_tokens=20), tokens)
    assert outcome.indices.tolist() == [0], "b comes next, and c, which would fit, does not"


def test_blocks_make_no_difference() -> None:
    vectors, _ = pool(40)
    whole = similarity_table(vectors)
    for block_rows in (1, 7):
        np.testing.assert_array_equal(similarity_table(vectors, "cosine", block_rows), whole)
    assert (whole.diagonal() == SCALE).all() and (whole >= 0).all()


def test_wrong_input_is_refused() -> None:
    vectors, ids = pool(4)
    with pytest.raises(ValueError, match="length 1"):
        select_facility_location(2 * vectors, ids, ALL)
    with pytest.raises(ValueError, match="one length"):
        select_facility_location(vectors, ids[:2], ALL)
    with pytest.raises(ValueError, match="infinite"):
        select_facility_location(vectors, ids, ALL, scores=np.array([1, 2, np.inf, 3]))


def test_a_budget_without_room_for_a_pick_covers_nothing() -> None:
    vectors, ids = np.eye(4, dtype=np.float32), np.array(list("abcd"), dtype=object)
    outcome = select_facility_location(vectors, ids, Budget(loss_tokens=3), np.full(4, 5))
    assert outcome.reasons.tolist() == ["over_budget"] * 4
    assert outcome.because_of.tolist() == [-1] * 4
