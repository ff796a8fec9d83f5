import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.ranking.greedy_diverse import cosine
from pipeline.selection.methods.diverse import select_diverse

ALL = Budget(fraction=1.0)


def pool(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, clustered vectors, ids."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((40, 8))[rng.integers(0, 40, n)]
    vectors += 0.3 * rng.standard_normal((n, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([f"{i:04x}" for i in rng.permutation(n)], dtype=object)
    return rng.integers(0, 50, n) / 10, vectors.astype(np.float32), ids


def test_a_near_row_with_a_lower_score_is_passed_over() -> None:
    scores = np.array([1.0, 3.0, 2.0, np.nan, 5.0])
    vectors = np.array([[0, 1], [1, 0], [0.96, 0.28], [0, -1], [np.nan, 1]], dtype=np.float32)
    outcome = select_diverse(scores, vectors, np.array(list("abcde")), ALL)
    np.testing.assert_array_equal(outcome.indices, [1, 0])
    assert list(outcome.reasons) == ["", "", "too_similar", "no_score", "no_embedding"]
    np.testing.assert_array_equal(outcome.because_of, [-1, -1, 1, -1, -1])
    np.testing.assert_allclose(outcome.value, [1, 3, 0.96, np.nan, 5])


def test_picks_are_apart_and_every_row_passed_over_has_a_better_pick_near() -> None:
    scores, vectors, ids = pool()
    outcome = select_diverse(scores, vectors, ids, Budget(rows=60), max_similarity=0.95)
    k = len(outcome.indices)
    assert k == 60
    left, right = np.triu_indices(k, 1)
    assert cosine(vectors, outcome.indices[left], outcome.indices[right]).max() <= 0.95
    passed = np.flatnonzero(outcome.reasons == "too_similar")
    causes = outcome.because_of[passed]
    assert len(passed) > 5
    assert set(causes) <= set(outcome.indices)
    assert (outcome.value[passed] > 0.95).all()
    better = scores[causes] > scores[passed]
    tied = (scores[causes] == scores[passed]) & (ids[causes] < ids[passed])
    assert (better | tied).all()
    assert scores[outcome.reasons == "over_budget"].max() <= scores[outcome.indices].min()


def test_at_one_nothing_is_too_similar_and_at_minus_one_everything() -> None:
    scores, vectors, ids = pool()
    top = select_diverse(scores, vectors, ids, Budget(rows=50), max_similarity=1.0).indices
    np.testing.assert_array_equal(top, np.lexsort((ids.astype(str), -scores))[:50])
    one = select_diverse(scores, vectors, ids, Budget(rows=50), max_similarity=-1.0).indices
    np.testing.assert_array_equal(one, top[:1])


def test_rows_too_similar_cost_nothing() -> None:
    scores = np.array([3.0, 2.0, 1.0])
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    ids, tokens = np.array(["a", "b", "c"]), np.array([10, 1000, 10])
    outcome = select_diverse(scores, vectors, ids, Budget(loss_tokens=20), tokens)
    np.testing.assert_array_equal(outcome.indices, [0, 2])


def test_wrong_input_is_refused() -> None:
    scores, vectors, ids = pool(3)
    with pytest.raises(ValueError, match=r"from -1 to 1, got 1\.5"):
        select_diverse(scores, vectors, ids, ALL, max_similarity=1.5)
    with pytest.raises(ValueError, match="one length"):
        select_diverse(scores, vectors[:2], ids, ALL)
    with pytest.raises(ValueError, match="length 1"):
        select_diverse(scores, 2 * vectors, ids, ALL)
