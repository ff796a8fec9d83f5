import numpy as np
import pytest
import torch

from pipeline.advice.mpts import LearnerSettings, RiskLearner, TaskPrediction, choose_risky

GRID = np.linspace(-1, 1, 50)[:, None]


def risk(descriptions: np.ndarray) -> np.ndarray:
    """Grows with the description; in no unit in particular."""
    grown: np.ndarray = 300 + 20 * descriptions[:, 0] ** 3 + 10 * descriptions[:, 0]
    return grown


def taught(rounds: int, seed: int = 0) -> RiskLearner:
    rng, learner = np.random.default_rng(seed), RiskLearner(1, LearnerSettings(seed=seed))
    for _ in range(rounds):
        candidates = rng.uniform(-1, 1, (32, 1))
        worth = learner.predict(candidates).acquisition()
        tried = candidates[choose_risky(worth, np.arange(32).astype(str), 16, 0)]
        learner.observe(tried, risk(tried))
    return learner


def test_learns_the_order_of_a_risk_that_grows() -> None:
    learner = taught(200)
    found = learner.predict(GRID)
    assert np.corrcoef(found.mean.argsort().argsort(), np.arange(50))[0, 1] > 0.8  # of ranks
    assert 250 < found.mean.mean() < 350, "in the unit of the losses"


def test_uncertainty_changes_what_is_taken() -> None:
    found = TaskPrediction(np.array([3.0, 2.0, 1.0]), np.array([0.1, 0.1, 0.9]))
    ids = np.array(list("abc"))
    np.testing.assert_array_equal(choose_risky(found.acquisition(1, 0), ids, 2, 0), [0, 1])
    np.testing.assert_array_equal(choose_risky(found.acquisition(1, 9), ids, 2, 0), [2, 0])


def test_half_of_a_round_is_random_and_all_of_it_different() -> None:
    worth, ids = np.arange(40.0), np.arange(40).astype(str)
    for count in (0, 1, 7, 40):
        assert len(set(choose_risky(worth, ids, count))) == count
    one, other = choose_risky(worth, ids, 10, round=1), choose_risky(worth, ids, 10, round=2)
    np.testing.assert_array_equal(one[:5], [39, 38, 37, 36, 35])
    np.testing.assert_array_equal(one[:5], other[:5])
    assert set(one[5:]) != set(other[5:])
    np.testing.assert_array_equal(choose_risky(worth, ids, 10, round=1), one)


def test_the_same_seed_says_the_same_and_leaves_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = taught(5).predict(GRID), taught(5).predict(GRID)
    np.testing.assert_array_equal(one.mean, other.mean)
    assert torch.rand(1) == expected
    assert not np.array_equal(one.mean, taught(5, seed=1).predict(GRID).mean)


def test_the_unit_of_the_losses_makes_no_difference() -> None:
    one, other = RiskLearner(1), RiskLearner(1)
    for _ in range(5):
        one.observe(GRID, risk(GRID))
        other.observe(GRID, risk(GRID) * 8)
    np.testing.assert_allclose(other.predict(GRID).mean, one.predict(GRID).mean * 8, rtol=1e-4)


def test_the_size_of_z_need_not_be_that_of_a_description() -> None:
    learner = RiskLearner(3, LearnerSettings(width=7))
    learner.observe(np.ones((4, 3)), np.ones(4))  # losses that are all alike
    assert learner.predict(np.ones((2, 3))).mean.shape == (2,)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="finite loss"):
        RiskLearner(1).observe(GRID, np.full(50, np.inf))
    with pytest.raises(ValueError, match="one or more tasks"):
        RiskLearner(1).observe(GRID[:0], np.empty(0))
    with pytest.raises(ValueError, match="one length"):
        RiskLearner(1).observe(GRID, np.empty(3))
    with pytest.raises(ValueError, match="2 tasks, 3 were asked for"):
        choose_risky(np.ones(2), np.array(["a", "b"]), 3)
    with pytest.raises(ValueError, match="random_share"):
        choose_risky(np.ones(2), np.array(["a", "b"]), 1, 1.5)
