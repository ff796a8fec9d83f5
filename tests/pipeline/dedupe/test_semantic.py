import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedupe.clusters import remove_duplicates
from pipeline.dedupe.semantic import remove_similar
from pipeline.selection.apart import cosine


class AllPairs:
    """Every pair compared on its own: what the blocks must equal."""

    def __init__(self, vectors: np.ndarray, threshold: float) -> None:
        self.vectors = vectors
        self.threshold = threshold
        self.kept: list[int] = []

    def closest(self, row: int) -> tuple[int, float] | None:
        near = cosine(self.vectors, np.full(len(self.kept), row), np.array(self.kept, dtype=int))
        if not len(near) or near.max() < self.threshold:
            return None
        return self.kept[near.argmax()], near.max()

    def keep(self, row: int) -> None:
        self.kept.append(row)


def crowd(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors with copies among them, keep scores with ties and gaps, ids."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((max(1, n // 4), d))[rng.integers(0, max(1, n // 4), n)]
    vectors += 0.4 * rng.standard_normal((n, d)) * (rng.random((n, 1)) < 0.7)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.choice([0.0, 1.0, 2.0, np.nan], n)
    return vectors.astype(np.float32), scores, np.array([f"{i:03}" for i in rng.permutation(n)])


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 80),
    st.sampled_from([2, 5, 32]),
    st.integers(0, 1000),
    st.sampled_from([0.3, 0.9, 0.99, 1.0]),
)
def test_equals_the_comparison_of_all_pairs(n: int, d: int, seed: int, threshold: float) -> None:
    vectors, scores, ids = crowd(n, d, seed)
    picked = remove_similar(vectors, scores, ids, threshold)
    expected = remove_duplicates(AllPairs(vectors, threshold), scores, ids)
    np.testing.assert_array_equal(picked.indices, expected.indices)
    np.testing.assert_array_equal(picked.reasons, expected.reasons)
    np.testing.assert_array_equal(picked.because_of, expected.because_of)
    np.testing.assert_array_equal(picked.value, expected.value)


def test_a_pair_at_the_threshold_is_of_copies() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6]], dtype=np.float32)
    ids, scores = np.array(["a", "b"]), np.array([1.0, 2.0])
    picked = remove_similar(vectors, scores, ids, 0.8)
    np.testing.assert_array_equal(picked.indices, [1])
    assert picked.because_of[0] == 1
    assert picked.value[0] == 0.8
    assert len(remove_similar(vectors, scores, ids, 0.800001).indices) == 2


def test_at_one_equal_vectors_go_and_others_stay() -> None:
    vectors, _, ids = crowd(60, 32, 3)
    picked = remove_similar(vectors, np.full(60, np.nan), ids, 1.0)
    assert len(picked.indices) == len(np.unique(vectors, axis=0)) < 60


def test_a_row_without_an_embedding_stays_and_removes_nothing() -> None:
    vectors = np.array([[np.nan, np.nan], [1, 0], [1, 0], [np.nan, np.nan]], dtype=np.float32)
    picked = remove_similar(vectors, np.array([9.0, 1.0, 2.0, np.nan]), np.array(list("abcd")))
    np.testing.assert_array_equal(picked.indices, [0, 2, 3])
    assert picked.because_of[1] == 2


def test_planted_copies_are_all_found() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 64))
    vectors[2700:] = vectors[:300] + 0.02 * rng.standard_normal((300, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    scores = np.r_[np.zeros(2700), np.ones(300)]
    picked = remove_similar(vectors, scores, np.array([f"{i:04}" for i in range(3000)]))
    assert set(np.flatnonzero(picked.reasons)) == set(range(300))
    np.testing.assert_array_equal(picked.because_of[:300], np.arange(2700, 3000))


@pytest.mark.parametrize("threshold", [-1.0, 1.1, np.nan])
def test_wrong_input_is_refused(threshold: float) -> None:
    vectors = np.array([[1.0, 0.0]], dtype=np.float32)
    with pytest.raises(ValueError, match="threshold is a cosine"):
        remove_similar(vectors, np.ones(1), np.array(["a"]), threshold)
    with pytest.raises(ValueError, match="must have length 1"):
        remove_similar(3 * vectors, np.ones(1), np.array(["a"]))
    with pytest.raises(ValueError, match="one length"):
        remove_similar(vectors, np.ones(2), np.array(["a", "b"]))
