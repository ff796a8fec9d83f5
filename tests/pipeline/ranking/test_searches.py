import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from pipeline.ranking import searches
from pipeline.ranking.greedy_diverse import cosine, keep_diverse, screen_rows
from pipeline.ranking.searches import (
    ALL_COLUMNS,
    FlatSearch,
    Screen,
    choose_screen,
    find_blas,
    one_blas_thread,
)


def units(n: int, d: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, d))
    scaled: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled.astype(np.float32)


@pytest.mark.parametrize("columns", [[0], [3, 5, 11], list(range(31))])
def test_a_screen_never_understates(columns: list[int]) -> None:
    vectors = np.concatenate([units(100, 32), units(100, 32) * np.r_[1e-4, np.ones(31)]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    seen = Screen(np.array(columns)).view(vectors.astype(np.float32))
    assert seen.shape == (200, len(columns) + 1)
    assert (seen @ seen.T >= vectors @ vectors.T - 1e-6).all()
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, rtol=1e-6)


def test_the_narrowest_screen_that_decides_is_taken() -> None:
    sample = units(500, 256)
    narrow = choose_screen(sample, 50_000, 0.98)
    wide = choose_screen(sample, 50_000, 0.9)
    assert narrow.columns is not None and wide.columns is not None
    assert (len(narrow.columns), len(wide.columns)) == (32, 64)
    assert choose_screen(sample, 50_000, 0.2) == ALL_COLUMNS
    assert choose_screen(sample, searches.FEW_ROWS, 0.98) == ALL_COLUMNS


def test_the_columns_of_most_weight_are_looked_at() -> None:
    sample = units(300, 64) * np.r_[np.full(8, 0.01), np.ones(56)].astype(np.float32)
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    screen = choose_screen(sample, 50_000, 0.95)
    assert screen.columns is not None
    assert screen.columns.min() >= 8


def test_a_flat_search_proposes_every_pair_above_the_bound() -> None:
    base = units(400, 64)
    noise = units(400, 64, 1) * np.linspace(0, 0.9, 400)[:, None]
    vectors = np.concatenate([base, base + noise])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    for columns in (None, np.arange(0, 64, 4)):
        search = FlatSearch(Screen(columns), 64)
        search.keep(np.arange(400), vectors[:400])
        found = search.near(np.arange(400, 800), vectors[400:], 0.9)
        proposed = set(zip(found.asked.tolist(), found.place.tolist(), strict=True))
        i, j = np.divmod(np.arange(400 * 400), 400)
        near = cosine(vectors, i + 400, j) > 0.90001
        assert near.sum() > 100
        assert set(zip(i[near].tolist(), j[near].tolist(), strict=True)) <= proposed


def test_a_screen_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    vectors = units(1500, 64)
    vectors[1000:] = vectors[:500] + 0.055 * rng.standard_normal((500, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order, ones = rng.permutation(1500), np.ones(1500, dtype=int)
    plain = keep_diverse(vectors, order, 0.9, ones, 1500, 100)
    monkeypatch.setattr(searches, "FEW_ROWS", 100)
    assert screen_rows(vectors, order, 0.9).columns is not None
    screened = keep_diverse(vectors, order, 0.9, ones, 1500, 100)
    assert 1000 < len(plain.kept) < 1400
    np.testing.assert_array_equal(screened.kept, plain.kept)
    np.testing.assert_array_equal(screened.because_of, plain.because_of)
    np.testing.assert_array_equal(screened.similarity, plain.similarity)


@pytest.mark.parametrize("threads", [1, 3])
def test_tiles_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(searches, "TILE_ROWS", 7)
    vectors = units(60, 8)
    with threadpool_limits(limits=threads, user_api="blas"):
        search = FlatSearch(ALL_COLUMNS, 8)
    found = search.near(np.arange(5), vectors[:5], 0.1)
    assert len(found.asked) == len(found.place) == len(found.product) == 0
    for start, end in ((0, 3), (3, 3), (3, 7), (7, 30), (30, 60)):
        search.keep(np.arange(start, end), vectors[start:end])
        found = search.near(np.arange(5), vectors[:5], 0.1)
        expected = vectors[:5].astype(np.float64) @ vectors[:end].T.astype(np.float64)
        order = np.lexsort((found.place, found.asked))
        pairs = np.stack([found.asked[order], found.place[order]], axis=1)
        np.testing.assert_array_equal(pairs, np.argwhere(expected > 0.1))
        np.testing.assert_allclose(found.product[order], expected[expected > 0.1], rtol=1e-6)


def test_blas_has_its_threads_again_afterwards() -> None:
    def threads() -> list[int]:
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    find_blas.cache_clear()  # SciPy, which another test may have loaded since, has a BLAS too
    with threadpool_limits(limits=2, user_api="blas"):
        with one_blas_thread():
            assert set(threads()) == {1}
        assert set(threads()) == {2}
