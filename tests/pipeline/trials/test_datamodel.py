"""A score that is the truth agrees with what came of trainings, and one that is noise does not."""

import numpy as np
import pytest

from pipeline.trials.datamodel import ScoreAgreement, agree, highest_agreement, spearman

RNG = np.random.default_rng(0)


def ridge_losses(x: np.ndarray, y: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(masks,) mean squared error on items of a task, of a ridge regression on the rows of each."""
    items = np.random.default_rng(9).standard_normal((200, x.shape[1]))
    wanted, losses = items @ np.ones(x.shape[1]), []
    for mask in masks:
        gram = x[mask].T @ x[mask] + 300.0 * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x[mask].T @ y[mask])
        losses.append(((items @ weights - wanted) ** 2).mean())
    return np.array(losses)


def halves_of(n: int, count: int) -> np.ndarray:
    masks = np.zeros((count, n), dtype=bool)
    for mask in masks:
        mask[RNG.permutation(n)[: n // 2]] = True
    return masks


def test_the_influence_of_each_row_on_a_linear_model_is_found_and_a_copy_breaks_nothing() -> None:
    x = RNG.standard_normal((80, 4))
    x[40:60] = x[:20]  # every fourth row twice
    y = x @ np.ones(4) * np.where(RNG.random(80) < 0.3, -1, 1)  # three in ten answers are wrong
    without = ridge_losses(x, y, ~np.eye(80, dtype=bool))
    influence = without - ridge_losses(x, y, np.ones((1, 80), dtype=bool))  # it helps: above 0
    masks = halves_of(80, 24)
    found = agree("influence", "task", masks @ influence, -ridge_losses(x, y, masks))
    assert found.lds is not None and found.lds > 0.9 and found.said == "it knows something"
    opposite = agree("influence", "task", masks @ -influence, -ridge_losses(x, y, masks))
    assert opposite.lds == pytest.approx(-found.lds)
    assert opposite.said == "low scores are the better ones"


def test_the_interval_of_noise_holds_nothing_as_often_as_it_says() -> None:
    holds = 0
    for _ in range(80):
        found = agree("noise", "task", RNG.standard_normal(24), RNG.standard_normal(24))
        assert found.interval is not None
        holds += found.interval[0] <= 0 <= found.interval[1]
    assert 0.9 <= holds / 80 <= 0.99


def test_ranks_are_correlated_and_ties_share_them() -> None:
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: a covariance of 1.125 over sqrt(1.125 * 1.25).
    assert spearman(np.array([0.0, 5, 5, 9]), np.array([-3.0, 0, 1, 99])) == pytest.approx(0.948683)
    assert spearman(np.ones(4), np.arange(4.0)) is None
    assert agree("s", "e", np.ones(9), np.arange(9.0)) == ScoreAgreement("s", "e", None, None)
    assert ScoreAgreement("s", "e", None, None).said == "nothing varies"


def test_trainings_that_disagree_bound_what_a_score_can_reach() -> None:
    one = RNG.standard_normal(400)
    assert highest_agreement(np.stack([one, one])) == pytest.approx(1)
    # Half of the variance is the half's: two trainings correlate by a half, their mean by 2/3.
    noisy = one + RNG.standard_normal((2, 400))
    found, truth = highest_agreement(noisy), spearman(noisy.mean(axis=0), one)
    assert found == pytest.approx(truth, abs=0.05) and found == pytest.approx(0.816, abs=0.05)
    assert highest_agreement(one[None]) is None, "of one training"
    assert highest_agreement(np.stack([one, -one])) is None
