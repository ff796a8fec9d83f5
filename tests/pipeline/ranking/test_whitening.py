import numpy as np
import pytest

from pipeline.ranking.whitening import fit_whitening


def pool(n: int = 400, d: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 3.0)


def whitened(vectors: np.ndarray, rows: np.ndarray, dimensions: int = 99) -> np.ndarray:
    found = fit_whitening(vectors, rows, dimensions)
    return np.asarray((vectors - found.mean) @ found.directions)


def test_the_covariance_of_what_it_was_fitted_on_is_one() -> None:
    vectors, rows = pool(), np.arange(0, 400, 2)
    turned = whitened(vectors, rows)[rows]
    np.testing.assert_allclose(np.cov(turned.T), np.eye(6), atol=1e-8)
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-8)


def test_no_invertible_map_of_the_vectors_changes_a_cosine() -> None:
    vectors, rows = pool(), np.arange(400)
    other = vectors @ np.random.default_rng(1).standard_normal((6, 6)) - 7.0
    one, two = (fit_whitening(each, rows, 6).units(each) for each in (vectors, other))
    np.testing.assert_allclose(one @ one.T, two @ two.T, atol=1e-4)


def test_neighbours_that_a_common_direction_hides_are_found() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((300, 8))
    vectors[1] = vectors[0] + 0.05 * rng.standard_normal(8)  # a neighbour of row 0
    vectors[:, 0] = 100 * rng.standard_normal(300)
    vectors[:2, 0] = 50, -50  # half of the spread from the mean, on either side
    plain = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    turned = fit_whitening(vectors, np.arange(300), 8).units(vectors)
    turned_rank, plain_rank = (
        int((each[2:] @ each[0] > each[1] @ each[0]).sum()) for each in (turned, plain)
    )
    assert plain_rank > 50 > 5 > turned_rank


def test_directions_without_spread_are_left_out_and_the_widest_come_first() -> None:
    vectors = np.zeros((50, 5))
    vectors[:, :2] = np.random.default_rng(3).standard_normal((50, 2)) * [1.0, 9.0]
    vectors[:, 2] = 1e-5 * np.arange(50)  # a variance of 2e-8 beside 81
    found = fit_whitening(vectors, np.arange(50), 9)
    assert found.dimensions == 2
    assert np.isfinite(found.units(vectors)).all()
    assert abs(found.directions[1, 0]) > abs(found.directions[0, 0]), (
        "the second column spreads most"
    )
    assert fit_whitening(vectors, np.arange(50), 1).dimensions == 1


def test_rows_without_a_vector_or_a_direction_have_none() -> None:
    vectors = np.vstack([pool(), np.full((1, 6), np.nan)])
    found = fit_whitening(vectors, np.arange(400), 6)
    at_mean = found.units(np.vstack([found.mean[None], vectors[400:]]))
    assert np.isnan(at_mean).all()


@pytest.mark.parametrize(("rows", "said"), [(1, "two rows or more, got 1"), (9, "9 rows have the")])
def test_what_cannot_be_whitened_is_refused(rows: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit_whitening(np.ones((9, 3)), np.arange(rows), 3)
