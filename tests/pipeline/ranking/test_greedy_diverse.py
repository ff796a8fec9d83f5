import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ranking import greedy_diverse as apart
from pipeline.ranking.greedy_diverse import DiverseRows, cosine, keep_diverse


def plain_loop(vectors: np.ndarray, bound: float, costs: np.ndarray, limit: int) -> DiverseRows:
    """One row at a time against all that are kept: what the blocks must equal."""
    kept: list[int] = []
    because_of, similarity = np.full(len(vectors), -1), np.full(len(vectors), np.nan)
    for row in range(len(vectors)):
        if limit <= 0:
            break
        near = cosine(vectors, np.full(len(kept), row), np.array(kept, dtype=int))
        if len(kept) and near.max() > bound:
            because_of[row], similarity[row] = kept[near.argmax()], near.max()
        elif costs[row] <= limit:
            kept.append(row)
            limit -= costs[row]
        else:
            break
    return DiverseRows(np.array(kept, dtype=int), because_of, similarity)


def unit(vectors: np.ndarray) -> np.ndarray:
    units: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units.astype(np.float32)


def crowd(n: int, d: int, seed: int) -> np.ndarray:
    """Clustered vectors, with exact and all but exact copies among them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, n // 8), d))
    vectors = centres[rng.integers(0, len(centres), n)] + 0.3 * rng.standard_normal((n, d))
    copies = rng.random(n) < 0.2
    vectors[copies] = vectors[rng.integers(0, n, copies.sum())]
    vectors[rng.random(n) < 0.1] *= 1 + 1e-7
    return unit(vectors)


def assert_equal(one: DiverseRows, other: DiverseRows) -> None:
    np.testing.assert_array_equal(one.kept, other.kept)
    np.testing.assert_array_equal(one.because_of, other.because_of)
    np.testing.assert_array_equal(one.similarity, other.similarity)


@settings(max_examples=60)
@given(
    n=st.integers(0, 90),
    d=st.sampled_from([2, 3, 16]),
    seed=st.integers(0, 1000),
    bound=st.sampled_from([-1.0, -0.2, 0.0, 0.5, 0.9, 0.99, 0.9999995, 1.0]),
    limit=st.integers(0, 40) | st.just(1000),
    block_rows=st.sampled_from([1, 7, 256]),
)
def test_blocks_equal_the_plain_loop(
    n: int, d: int, seed: int, bound: float, limit: int, block_rows: int
) -> None:
    vectors = crowd(n, d, seed)
    costs = np.random.default_rng(seed).integers(0, 4, n)
    found = keep_diverse(vectors, np.arange(n), bound, costs, limit, block_rows)
    assert_equal(found, plain_loop(vectors, bound, costs, limit))


def test_many_small_pieces_equal_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = crowd(700, 24, 5)
    ones = np.ones(700, dtype=int)
    expected = plain_loop(vectors, 0.95, ones, 700)
    monkeypatch.setattr(apart, "PAIRS_AT_ONCE", 3)
    assert len(expected.kept) > 150
    assert_equal(keep_diverse(vectors, np.arange(700), 0.95, ones, 700, 64), expected)


def test_the_order_is_the_one_given() -> None:
    vectors = unit(np.array([[1, 0], [1, 0.1], [0, 1]]))
    ones = np.ones(3, dtype=int)
    np.testing.assert_array_equal(
        keep_diverse(vectors, np.array([1, 2]), 0.9, ones, 3).kept, [1, 2]
    )
    found = keep_diverse(vectors, np.array([2, 1, 0]), 0.9, ones, 3)
    np.testing.assert_array_equal(found.kept, [2, 1])
    np.testing.assert_array_equal(found.because_of, [1, -1, -1])


def test_equal_vectors_have_a_similarity_of_exactly_one() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((200, 384)))
    rows = np.arange(200)
    assert set(cosine(vectors, rows, rows)) == {1.0}
    assert set(cosine(np.concatenate((vectors, -vectors)), rows, rows + 200)) == {-1.0}


@pytest.mark.parametrize("block_rows", [1, 2])
def test_a_vector_a_little_off_length_one_has_its_own_angle(block_rows: int) -> None:
    # The cosine is 0.9; a product with one length of 0.9991 left in is 0.8992.
    vectors = np.array([[1, 0], [0.9, np.sqrt(0.19)]], dtype=np.float32) * np.float32(0.9991)
    ones = np.ones(2, dtype=int)
    found = keep_diverse(vectors, np.arange(2), 0.8999, ones, 2, block_rows)
    np.testing.assert_array_equal(found.kept, [0])
    assert found.similarity[1] == 0.9


@pytest.mark.parametrize("block_rows", [1, 300])
def test_what_float32_leaves_in_doubt_is_decided_in_float64(block_rows: int) -> None:
    # Row 0 and row i have a similarity s; the bound is s, or the next number below it.
    vectors = unit(np.random.default_rng(0).standard_normal((200, 384)))
    ones = np.ones(200, dtype=int)
    for row in range(1, 200):
        similarity = cosine(vectors, np.array([0]), np.array([row]))[0]
        pair = np.array([0, row])
        at = keep_diverse(vectors, pair, similarity, ones, 2, block_rows)
        below = keep_diverse(vectors, pair, np.nextafter(similarity, -1), ones, 2, block_rows)
        assert (len(at.kept), len(below.kept)) == (2, 1)


@pytest.mark.parametrize("block_rows", [1, 3])
def test_of_two_equally_similar_rows_the_preferred_one_is_the_cause(block_rows: int) -> None:
    vectors = unit(np.array([[1, 0], [0, 1], [1, 1]]))
    found = keep_diverse(vectors, np.array([1, 0, 2]), 0.7, np.ones(3, dtype=int), 3, block_rows)
    np.testing.assert_array_equal(found.because_of, [-1, -1, 1])


@pytest.mark.parametrize("block_rows", [1, 3])
def test_no_row_is_looked_at_once_the_budget_is_used_up(block_rows: int) -> None:
    vectors = unit(np.array([[1, 0], [1, 0], [0, 1]]))
    ones = np.ones(3, dtype=int)
    found = keep_diverse(vectors, np.arange(3), 0.9, ones, 1, block_rows)
    np.testing.assert_array_equal(found.because_of, [-1, -1, -1])
    found = keep_diverse(vectors, np.arange(3), 0.9, ones, 2, block_rows)
    np.testing.assert_array_equal(found.because_of, [-1, 0, -1])


def test_where_nothing_is_too_similar_copies_cost_no_comparison(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = 0

    def counted(vectors: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        nonlocal pairs
        pairs += len(left)
        return cosine(vectors, left, right)

    monkeypatch.setattr(apart, "cosine", counted)
    vectors = np.ones((2000, 1), dtype=np.float32)
    ones = np.ones(2000, dtype=int)
    assert len(keep_diverse(vectors, np.arange(2000), 1.0, ones, 2000).kept) == 2000
    assert pairs == 0


@pytest.mark.parametrize("wrong", [[0.0, 0.0], [2.0, 0.0], [np.nan, 1.0]])
def test_a_vector_not_of_length_one_is_an_error(wrong: list[float]) -> None:
    vectors = np.array([[1.0, 0.0], wrong], dtype=np.float32)
    with pytest.raises(ValueError, match="must have length 1, got 1 of length"):
        keep_diverse(vectors, np.arange(2), 0.9, np.ones(2, dtype=int), 2)
