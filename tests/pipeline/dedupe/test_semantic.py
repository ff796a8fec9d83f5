import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedupe.clusters import remove_duplicates
from pipeline.dedupe.semantic import Semantic, remove_similar
from pipeline.ranking.greedy_diverse import cosine
from pipeline.ranking.inverted_index import Cells, nearest_cells, whole_numbers


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


@settings(max_examples=50)
@given(
    st.integers(0, 80),
    st.sampled_from([2, 5, 32]),
    st.integers(0, 1000),
    st.sampled_from([0.3, 0.9, 0.99, 1.0]),
)
def test_equals_the_comparison_of_all_pairs(n: int, d: int, seed: int, threshold: float) -> None:
    vectors, scores, ids = crowd(n, d, seed)
    outcome = remove_similar(vectors, scores, ids, threshold)
    expected = remove_duplicates(AllPairs(vectors, threshold), scores, ids)
    np.testing.assert_array_equal(outcome.indices, expected.indices)
    np.testing.assert_array_equal(outcome.reasons, expected.reasons)
    np.testing.assert_array_equal(outcome.because_of, expected.because_of)
    np.testing.assert_array_equal(outcome.value, expected.value)


def test_a_pair_at_the_threshold_is_of_copies() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6]], dtype=np.float32)
    ids, scores = np.array(["a", "b"]), np.array([1.0, 2.0])
    outcome = remove_similar(vectors, scores, ids, 0.8)
    np.testing.assert_array_equal(outcome.indices, [1])
    assert outcome.because_of[0] == 1
    assert outcome.value[0] == 0.8
    assert len(remove_similar(vectors, scores, ids, 0.800001).indices) == 2


def test_at_one_equal_vectors_go_and_others_stay() -> None:
    vectors, _, ids = crowd(60, 32, 3)
    outcome = remove_similar(vectors, np.full(60, np.nan), ids, 1.0)
    assert len(outcome.indices) == len(np.unique(vectors, axis=0)) < 60


def test_a_row_without_an_embedding_stays_and_removes_nothing() -> None:
    vectors = np.array([[np.nan, np.nan], [1, 0], [1, 0], [np.nan, np.nan]], dtype=np.float32)
    outcome = remove_similar(vectors, np.array([9.0, 1.0, 2.0, np.nan]), np.array(list("abcd")))
    np.testing.assert_array_equal(outcome.indices, [0, 2, 3])
    assert outcome.because_of[1] == 2


def test_planted_copies_are_all_found() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 64))
    vectors[2700:] = vectors[:300] + 0.02 * rng.standard_normal((300, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    scores = np.r_[np.zeros(2700), np.ones(300)]
    outcome = remove_similar(vectors, scores, np.array([f"{i:04}" for i in range(3000)]))
    assert set(np.flatnonzero(outcome.reasons)) == set(range(300))
    np.testing.assert_array_equal(outcome.because_of[:300], np.arange(2700, 3000))


@pytest.mark.parametrize("threshold", [-1.0, 1.1, np.nan])
def test_wrong_input_is_refused(threshold: float) -> None:
    vectors = np.array([[1.0, 0.0]], dtype=np.float32)
    with pytest.raises(ValueError, match="threshold is a cosine"):
        remove_similar(vectors, np.ones(1), np.array(["a"]), threshold)
    with pytest.raises(ValueError, match="must have length 1"):
        remove_similar(3 * vectors, np.ones(1), np.array(["a"]))
    with pytest.raises(ValueError, match="one length"):
        remove_similar(vectors, np.ones(2), np.array(["a", "b"]))


def planted(n: int, d: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Random vectors, the last tenth near-copies of the first; and ids."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[n - n // 10 :] = vectors[: n // 10] + noise * rng.standard_normal((n // 10, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.array([f"{i:05}" for i in range(n)], dtype=object)


def in_cells(vectors: np.ndarray, count: int, searched: int) -> Cells:
    centres = whole_numbers(vectors[:count])
    return Cells(nearest_cells(vectors, centres), count, searched)


def test_in_all_cells_the_result_is_that_of_the_flat_search() -> None:
    vectors, scores, ids = crowd(500, 16, 4)
    flat = remove_similar(vectors, scores, ids, 0.8)
    cells = remove_similar(vectors, scores, ids, 0.8, in_cells(vectors, 20, 20))
    np.testing.assert_array_equal(cells.indices, flat.indices)
    np.testing.assert_array_equal(cells.because_of, flat.because_of)
    np.testing.assert_array_equal(cells.value, flat.value)
    assert "recall 1.000" in cells.notes[0]


def test_the_recall_that_is_said_is_the_true_one() -> None:
    vectors, ids = planted(3000, 32, 0.08)
    scores = np.full(3000, np.nan)
    cells = in_cells(vectors, 64, 2)
    flat = remove_similar(vectors, scores, ids, 0.85)
    found = remove_similar(vectors, scores, ids, 0.85, cells)
    gone, should = set(np.flatnonzero(found.reasons)), set(np.flatnonzero(flat.reasons))
    assert gone < should
    recall = len(gone) / len(should)
    assert 0.3 < recall < 0.95
    assert f"recall {recall:.3f}: of 3000 sampled rows, {len(should)} have a copy" in found.notes[0]


def test_without_copies_there_is_no_recall_to_say() -> None:
    vectors, ids = planted(300, 32, 5.0)
    found = remove_similar(vectors, np.full(300, np.nan), ids, 0.99, in_cells(vectors, 8, 1))
    assert "recall unknown: of 300 sampled rows, 0 have a copy" in found.notes[0]


def test_cells_do_not_care_for_the_order_of_rows() -> None:
    vectors, ids = planted(800, 32, 0.05)
    scores = np.random.default_rng(1).choice([0.0, 1.0, np.nan], 800)
    cells = in_cells(vectors, 16, 3)
    first = remove_similar(vectors, scores, ids, 0.9, cells)
    shuffle = np.random.default_rng(2).permutation(800)
    moved = Cells(cells.nearest[shuffle], cells.count, cells.searched)
    again = remove_similar(vectors[shuffle], scores[shuffle], ids[shuffle], 0.9, moved)
    np.testing.assert_array_equal(shuffle[again.indices], first.indices)
    assert again.notes == first.notes


@pytest.mark.parametrize("searched", [None, 4])
def test_a_higher_threshold_keeps_all_that_a_pair_of_rows_allows(searched: int | None) -> None:
    vectors, ids = planted(1000, 32, 0.06)
    cells = in_cells(vectors, 16, searched) if searched else None
    scores = np.full(1000, np.nan)
    kept = [
        len(remove_similar(vectors, scores, ids, threshold, cells).indices)
        for threshold in (0.8, 0.9, 0.95, 0.99)
    ]
    assert kept == sorted(kept)
    assert 900 <= kept[0] < kept[-1] == 1000


def test_large_pools_are_searched_by_cells_unless_told_otherwise() -> None:
    auto, flat, ivf = (
        Semantic.model_validate({"method": "semantic", "index": index})
        for index in ("auto", "flat", "ivf")
    )
    assert [step.by_cells(100_000) for step in (auto, flat, ivf)] == [False, False, True]
    assert [step.by_cells(100_001) for step in (auto, flat, ivf)] == [True, False, True]
