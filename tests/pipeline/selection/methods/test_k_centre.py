from itertools import combinations

import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.k_centre import select_k_centre

ALL = Budget(fraction=1.0)


def pool(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    vectors = rng.standard_normal((n, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([f"{i:04x}" for i in rng.permutation(n)], dtype=object)
    return vectors.astype(np.float32), ids


def distances(vectors: np.ndarray) -> np.ndarray:
    exact = vectors.astype(np.float64)
    apart: np.ndarray = np.linalg.norm(exact[:, None] - exact[None], axis=2)
    return apart


def test_starts_in_the_middle_and_goes_to_the_farthest() -> None:
    degrees = np.array([0, 10, 20, 90, 100, 260])
    turned = np.radians(degrees)
    vectors = np.stack((np.cos(turned), np.sin(turned)), axis=1).astype(np.float32)
    outcome = select_k_centre(vectors, np.array(list("abcdef")), Budget(rows=3))
    # The mean points to about 46 degrees: c is 26 away, d 44. From c, f is 120 away, then e 80.
    assert outcome.indices.tolist() == [2, 5, 4]
    assert list(outcome.reasons) == ["covered", "covered", "", "covered", "", ""]
    assert outcome.because_of.tolist() == [2, 2, -1, 4, -1, -1]
    expected = np.cos(np.radians([20, 10, np.nan, 10, 80, 120]))
    np.testing.assert_allclose(outcome.value, expected, atol=1e-6)


def test_the_picks_are_those_of_the_plain_loop() -> None:
    vectors, ids = pool(200)
    apart = distances(vectors)
    picks = [int(select_k_centre(vectors, ids, Budget(rows=1)).indices[0])]
    while len(picks) < 60:
        picks.append(int(np.argmax(apart[picks].min(axis=0))))
    outcome = select_k_centre(vectors, ids, Budget(rows=60))
    assert outcome.indices.tolist() == picks
    covered = np.flatnonzero(outcome.reasons == "covered")
    nearest = np.array(picks)[apart[picks][:, covered].argmin(axis=0)]
    np.testing.assert_array_equal(outcome.because_of[covered], nearest)


@pytest.mark.parametrize("n", [9, 10, 11])
def test_the_radius_is_at_most_twice_the_smallest(n: int) -> None:
    vectors, ids = pool(n)
    apart = distances(vectors)
    for k in (2, 3, 4):
        outcome = select_k_centre(vectors, ids, Budget(rows=k)).indices
        smallest = min(apart[list(rows)].min(axis=0).max() for rows in combinations(range(n), k))
        assert smallest <= apart[outcome].min(axis=0).max() <= 2 * smallest


def test_copies_are_picked_last_by_their_ids() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.float32)
    outcome = select_k_centre(vectors, np.array(["d", "c", "b", "a"]), ALL)
    # All are as near to the mean: a starts. b is the lower id of the far ones, then c before d.
    assert outcome.indices.tolist() == [3, 2, 1, 0]
    np.testing.assert_allclose(outcome.value, [1, 1, 0, np.nan])


def test_of_two_picks_as_near_the_first_is_named() -> None:
    vectors = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float32)
    outcome = select_k_centre(vectors, np.array(list("abcd")), Budget(rows=2))
    assert outcome.indices.tolist() == [0, 1]
    assert outcome.because_of.tolist() == [-1, -1, 0, 0]


def test_a_row_without_an_embedding_is_neither_picked_nor_in_the_way() -> None:
    vectors = np.array([[np.nan, 0], [1, 0], [0, 1]], dtype=np.float32)
    outcome = select_k_centre(vectors, np.array(list("abc")), ALL)
    assert list(outcome.reasons) == ["no_embedding", "", ""]


def test_ends_before_the_first_pick_that_does_not_fit() -> None:
    vectors = np.array([[1, 0], [0.96, 0.28], [0.8, 0.6], [0, 1]], dtype=np.float32)
    ids, tokens = np.array(list("abcd")), np.array([1, 2, 6, 50])
    outcome = select_k_centre(vectors, ids, Budget(loss_tokens=20), tokens)
    assert outcome.indices.tolist() == [2]


def test_wrong_input_is_refused() -> None:
    vectors, ids = pool(4)
    with pytest.raises(ValueError, match="length 1"):
        select_k_centre(2 * vectors, ids, ALL)
    with pytest.raises(ValueError, match="one length"):
        select_k_centre(vectors, ids[:2], ALL)


def test_a_budget_without_room_for_a_pick_covers_nothing() -> None:
    vectors, ids = np.eye(4, dtype=np.float32), np.array(list("abcd"), dtype=object)
    outcome = select_k_centre(vectors, ids, Budget(loss_tokens=3), np.full(4, 5))
    assert outcome.reasons.tolist() == ["over_budget"] * 4
    assert outcome.because_of.tolist() == [-1] * 4
