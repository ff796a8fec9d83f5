import numpy as np
import pytest

from pipeline.advice.mopps import Aim, Posterior, choose_tasks, draw_rates, update

ROUNDS = [(np.array([3, 0]), np.array([4, 4])), (np.array([1, 2]), np.array([1, 3]))]


def after(memory: float) -> Posterior:
    posterior = Posterior.unknown(2)
    for right, tried in ROUNDS:
        posterior = update(posterior, right, tried, memory)
    return posterior


def test_with_all_memory_the_counts_add_up() -> None:
    posterior = after(1.0)
    np.testing.assert_array_equal(posterior.alpha, [1 + 3 + 1, 1 + 0 + 2])
    np.testing.assert_array_equal(posterior.beta, [1 + 1 + 0, 1 + 4 + 1])
    np.testing.assert_allclose(posterior.mean, [5 / 7, 3 / 9])


def test_without_memory_only_the_last_round_counts() -> None:
    posterior = after(0.0)
    np.testing.assert_array_equal(posterior.alpha, [1 + 1, 1 + 2])
    np.testing.assert_array_equal(posterior.beta, [1 + 0, 1 + 1])


def test_with_some_memory_the_past_fades_towards_the_prior() -> None:
    # alpha: 0.5 * (0.5 * 1 + 0.5 * 1 + 3) + 0.5 * 1 + 1, and so on
    np.testing.assert_allclose(after(0.5).alpha, [3.5, 3.0])
    np.testing.assert_allclose(after(0.5).beta, [1.5, 4.0])


def test_a_single_answer_to_a_task_is_no_special_case() -> None:
    posterior = update(Posterior.unknown(2), np.array([1, 0]), np.array([1, 1]))
    np.testing.assert_array_equal(posterior.alpha, [2, 1])
    np.testing.assert_array_equal(posterior.beta, [1, 2])


def test_a_task_that_was_not_tried_stays_as_it_was() -> None:
    before = Posterior(np.array([7.0, 7.0]), np.array([2.0, 2.0]))
    now = update(before, np.array([0, 1]), np.array([0, 1]), memory=0.5)
    assert (now.alpha[0], now.beta[0]) == (7, 2)
    assert (now.alpha[1], now.beta[1]) == (5, 1.5)


def test_draws_are_of_the_posterior() -> None:
    n = 20_000
    ids = np.arange(n).astype(str)
    rates = draw_rates(Posterior(np.full(n, 3.0), np.full(n, 6.0)), ids, seed=0, round=1)
    assert rates.mean() == pytest.approx(3 / 9, abs=0.01)
    assert rates.var() == pytest.approx(3 * 6 / (81 * 10), rel=0.05)


def test_a_draw_is_of_its_task_seed_and_round_alone() -> None:
    posterior, ids = Posterior(np.arange(1.0, 7), np.full(6, 2.0)), np.array(list("fedcba"))
    rates = draw_rates(posterior, ids, 1, 1)
    order = np.array([3, 0, 5])
    part = Posterior(posterior.alpha[order], posterior.beta[order])
    np.testing.assert_array_equal(draw_rates(part, ids[order], 1, 1), rates[order])
    assert not np.isin(draw_rates(posterior, ids, 1, 2), rates).any()
    assert not np.isin(draw_rates(posterior, ids, 2, 1), rates).any()


def test_takes_the_nearest_to_the_aim_and_exactly_so_many() -> None:
    rates, ids = np.array([0.9, 0.55, 0.1, 0.45, 0.5]), np.array(list("edcba"))
    for count in range(6):
        assert len(choose_tasks(rates, ids, count)) == count
    # Rows 1 and 3 are as near; "b" is the lower id. Rows 0 and 2 are, too.
    np.testing.assert_array_equal(choose_tasks(rates, ids, 5), [4, 3, 1, 2, 0])


def test_those_within_the_bounds_come_first() -> None:
    rates, ids = np.array([0.04, 0.3, 0.75, 0.95]), np.array(list("abcd"))
    np.testing.assert_array_equal(choose_tasks(rates, ids, 4, Aim(0.2, 0.8)), [1, 2, 3, 0])
    np.testing.assert_array_equal(choose_tasks(rates, ids, 1, Aim(0.0, 0.1)), [0])


def test_what_is_half_solved_is_sampled_more_than_what_is_always_or_never_solved() -> None:
    rng = np.random.default_rng(0)
    true, ids = np.repeat([0.02, 0.5, 0.98], 20), np.arange(60).astype(str)
    posterior, picked = Posterior.unknown(60), np.zeros(60)
    for round in range(40):
        tasks = choose_tasks(draw_rates(posterior, ids, 0, round), ids, 10)
        tried = np.zeros(60, dtype=np.int64)
        tried[tasks] = 4
        posterior = update(posterior, rng.binomial(tried, true), tried)
        picked[tasks] += 1
    assert picked[20:40].sum() > 0.8 * picked.sum()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 2 tasks, 3 were asked for"):
        choose_tasks(np.array([0.1, 0.2]), np.array(["a", "b"]), 3)
    with pytest.raises(ValueError, match="right <= tried"):
        update(Posterior.unknown(1), np.array([2]), np.array([1]))
    with pytest.raises(ValueError, match="memory"):
        update(Posterior.unknown(1), np.array([0]), np.array([1]), 1.5)
    with pytest.raises(ValueError, match="low <= high"):
        Aim(0.6, 0.4)
    with pytest.raises(ValueError, match="one length"):
        update(Posterior.unknown(2), np.array([0]), np.array([1]))
