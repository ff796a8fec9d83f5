"""GOT-D: a hand-worked transport, what its gradient must be, and which rows it takes."""

import itertools

import numpy as np
import pytest

from scorers import got_d
from scorers.arrays import Floats, unit
from scorers.got_d import (
    NotConvergedError,
    calibrate,
    choose_eps,
    costs,
    potentials_of,
    score_got_d,
    solve_transport,
)

RNG = np.random.default_rng(5)
CAT, DOG, FISH = np.eye(6)[0], np.eye(6)[1], np.eye(6)[2]


def near(centre: Floats, n: int, spread: float = 0.2) -> Floats:
    return centre + spread * RNG.normal(size=(n, len(centre)))


POOL = np.concatenate([near(CAT, 30), near(DOG, 10), near(FISH, 5)])
TARGETS = np.concatenate([near(CAT, 7), near(DOG, 8)])


def even(n: int) -> Floats:
    return np.full(n, 1 / n)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve to the last digits, where a test compares numbers."""
    monkeypatch.setattr(got_d, "MARGINAL_ERROR", 1e-10)


@pytest.mark.usefixtures("exact")
def test_two_rows_and_one_target_by_hand() -> None:
    # One target takes all mass, so f_i = C_i - h whatever eps is, and h cancels in g.
    # C = |(1,0)-(1,0)|^2 = 0 and |(0,1)-(1,0)|^2 = 2; g = (0 - 2, 2 - 0); the score is -g.
    scores = score_got_d(np.eye(2) * 3, np.array([[5.0, 0.0]]))
    np.testing.assert_allclose(scores, [2.0, -2.0], atol=1e-12)


@pytest.mark.parametrize("eps_share", [0.05, 0.2, 1.0])
def test_of_a_pool_of_cats_the_few_dogs_are_taken(eps_share: float) -> None:
    pool = np.concatenate([near(CAT, 190, 0.1), near(DOG, 10, 0.1)])
    half = np.concatenate([near(CAT, 50, 0.1), near(DOG, 50, 0.1)])
    scores = score_got_d(pool, half, eps_share=eps_share)
    assert set(np.argsort(-scores)[:10]) == set(range(190, 200))
    alike = (unit(pool) @ unit(half).T).max(axis=1)  # what a search for the nearest would take
    assert sum(row < 190 for row in np.argsort(-alike)[:10]) > 2


def test_the_gradient_sums_to_nothing_and_ranks_as_the_potential_does() -> None:
    rows, targets = unit(POOL), unit(TARGETS)
    solved = solve_transport(rows, even(45), targets, 0.1)
    gradient = calibrate(solved.f)
    assert abs(gradient.sum()) < 1e-12
    np.testing.assert_allclose(calibrate(solved.f + 3.7), gradient, atol=1e-12)
    np.testing.assert_array_equal(np.argsort(gradient), np.argsort(solved.f))
    others = [np.delete(solved.f, row).mean() for row in range(45)]
    np.testing.assert_allclose(gradient, solved.f - others, atol=1e-12)
    assert abs(score_got_d(POOL, TARGETS).sum()) < 1e-12


def objective(mass: Floats, rows: Floats, targets: Floats, eps: float) -> float:
    """The entropic cost of the transport: cost plus eps times its divergence from independence."""
    solved = solve_transport(rows, mass, targets, eps)
    log_ratio = (solved.f[:, None] + solved.h - costs(rows, targets)) / eps
    plan = mass[:, None] / len(targets) * np.exp(log_ratio)
    return float((plan * (costs(rows, targets) + eps * log_ratio)).sum())


@pytest.mark.usefixtures("exact")
def test_the_gradient_is_what_moving_mass_does_to_the_cost() -> None:
    rows, targets, step = unit(POOL), unit(TARGETS), 1e-5
    gradient = calibrate(solve_transport(rows, even(45), targets, 0.1).f)
    for row in (0, 17, 33, 44):
        move = np.full(45, -step / 44)
        move[row] = step
        up, down = (objective(even(45) + s * move, rows, targets, 0.1) for s in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(gradient[row], abs=1e-4)


def test_masses_are_right_at_both_ends() -> None:
    rows, targets = unit(POOL), unit(TARGETS)
    solved = solve_transport(rows, even(45), targets, 0.05)
    plan = np.exp((solved.f[:, None] + solved.h - costs(rows, targets)) / 0.05) / (45 * 15)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 45, rtol=1e-9)
    error = np.abs(plan.sum(axis=0) - 1 / 15).sum()
    assert error == pytest.approx(solved.error, abs=1e-12) and error < 1e-3


def test_a_row_that_was_solved_for_has_its_potential_out_of_sample_too() -> None:
    rows, targets = unit(POOL), unit(TARGETS)
    solved = solve_transport(rows, even(45), targets, 0.1)
    np.testing.assert_allclose(potentials_of(rows[3:9], targets, solved.h, 0.1), solved.f[3:9])


def test_a_pool_solved_in_part_ranks_as_one_solved_whole() -> None:
    pool = np.concatenate([near(CAT, 300), near(DOG, 100), near(FISH, 50)])
    whole, part = score_got_d(pool, TARGETS), score_got_d(pool, TARGETS, solve_on=150)
    assert not np.array_equal(whole, part)
    assert np.corrcoef(whole, part)[0, 1] > 0.99
    assert not np.array_equal(part, score_got_d(pool, TARGETS, solve_on=150, seed=1))


@pytest.mark.usefixtures("exact")
def test_equal_rows_have_equal_scores() -> None:
    scores = score_got_d(POOL[[0, 1, 0, 31, 0, 31]], TARGETS)
    assert scores[0] == scores[2] == scores[4] != scores[1]
    assert scores[3] == scores[5]
    # they share the mass as three rows of the mass of one would
    weighted = solve_transport(unit(POOL[[0, 1, 31]]), np.array([3, 1, 2]) / 6, unit(TARGETS), 0.1)
    apart = solve_transport(unit(POOL[[0, 0, 0, 1, 31, 31]]), even(6), unit(TARGETS), 0.1)
    np.testing.assert_allclose(weighted.f[[0, 0, 0, 1, 2, 2]], apart.f, atol=1e-12)
    eps = choose_eps(unit(POOL[[0, 1, 31]]), unit(TARGETS), 0.05)
    apart = solve_transport(unit(POOL[[0, 0, 0, 1, 31, 31]]), even(6), unit(TARGETS), eps)
    scores = score_got_d(POOL[[0, 0, 0, 1, 31, 31]], TARGETS)
    np.testing.assert_allclose(scores, -calibrate(apart.f), atol=1e-6)


def test_targets_that_are_the_pool_pull_nowhere() -> None:
    shifted = score_got_d(POOL, near(DOG, 45))
    same = score_got_d(POOL, POOL)
    assert np.abs(same).mean() < 0.1 * np.abs(shifted).mean()


def test_contrast_is_the_exact_reverse() -> None:
    towards, away = score_got_d(POOL, TARGETS), score_got_d(POOL, TARGETS, contrast=True)
    np.testing.assert_array_equal(away, -towards)


def test_order_and_block_size_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = score_got_d(POOL, TARGETS)
    order, other = RNG.permutation(45), RNG.permutation(15)
    np.testing.assert_array_equal(score_got_d(POOL[order], TARGETS[other]), scores[order])
    for block, kept in itertools.product((1, 100, 1 << 21), (0, 1 << 25)):
        monkeypatch.setattr(got_d, "BLOCK", block)
        monkeypatch.setattr(got_d, "KEPT_COSTS", kept)
        np.testing.assert_allclose(score_got_d(POOL, TARGETS), scores, atol=1e-12)


def test_no_matrix_of_all_costs_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = []

    def watched(rows: Floats, targets: Floats) -> Floats:
        largest.append(len(rows) * len(targets))
        return costs(rows, targets)

    for name, most in (("BLOCK", 60), ("KEPT_COSTS", 500), ("MEDIAN_COSTS", 60)):
        monkeypatch.setattr(got_d, name, most)
    monkeypatch.setattr(got_d, "costs", watched)
    score_got_d(POOL, TARGETS)
    assert max(largest) == 60


def test_a_transport_that_is_not_solved_is_an_error_and_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(got_d, "MOST_TURNS", 3)
    with pytest.raises(NotConvergedError, match=r"after 3 turns: 0\.\d+ of the mass.*eps_share"):
        score_got_d(POOL, TARGETS, eps_share=0.01)


def test_a_small_eps_neither_overflows_nor_ends_in_nothing() -> None:
    scores = score_got_d(POOL[:8], TARGETS[:2], eps_share=1e-3)
    assert np.isfinite(scores).all()


def test_eps_is_a_share_of_the_median_cost() -> None:
    rows, targets = unit(POOL), unit(TARGETS)
    assert choose_eps(rows, targets, 0.05) == 0.05 * np.median(costs(rows, targets))
    mostly = np.eye(2)[[0, 0, 0, 1]]
    assert choose_eps(mostly, mostly[:1], 0.1) == pytest.approx(0.1 * 0.5)  # costs 0, 0, 0, 2
    assert choose_eps(mostly[:3], mostly[:1], 0.1) == 0.1


def test_rows_and_targets_without_a_direction() -> None:
    pool = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 0.0], [0.0, 1.0]])
    targets = np.array([[0.0, 2.0], [np.nan, np.nan], [0.0, 0.0]])
    scores = score_got_d(pool, targets)
    np.testing.assert_array_equal(np.isnan(scores), [False, True, True, False])
    np.testing.assert_array_equal(scores[[0, 3]], score_got_d(pool[[0, 3]], targets[:1]))
    assert scores[3] > scores[0]
    assert np.isnan(score_got_d(pool[:1], targets)).all(), "there is no other row"
    np.testing.assert_array_equal(score_got_d(pool[[0, 0]], pool[:1]), [0.0, 0.0])


@pytest.mark.parametrize(
    ("targets", "settings", "message"),
    [
        (np.full((2, 6), np.nan), {}, "none of those given has an embedding"),
        (np.ones((2, 3)), {}, "rows have 6 dimensions, targets 3"),
        (TARGETS, {"eps_share": 0.0}, "must be above 0, got 0.0 and 50000"),
        (TARGETS, {"solve_on": 0}, "must be above 0, got 0.05 and 0"),
    ],
)
def test_errors(targets: Floats, settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_got_d(POOL, targets, **settings)  # type: ignore[arg-type]
