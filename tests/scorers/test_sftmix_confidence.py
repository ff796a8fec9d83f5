import numpy as np
import pytest

from scorers.sftmix_confidence import score_sftmix_confidence

LN2, LN4 = np.log(2.0), np.log(4.0)


def test_is_the_negated_mean_perplexity() -> None:
    # -(4 + 2 + 2) / 3 and -(1 + 1 + 1) / 3
    trajectory = np.array([[LN4, LN2, LN2], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(score_sftmix_confidence(trajectory), [-8 / 3, -1])


def test_may_average_logarithms() -> None:
    trajectory = np.array([[LN4, LN2, LN2]])
    np.testing.assert_allclose(score_sftmix_confidence(trajectory, log_mean=True), [-4 * LN2 / 3])


def test_an_explosion_counts_as_twenty_nats() -> None:
    exploded = score_sftmix_confidence(np.array([[600.0, 0.0], [20.0, 0.0]]))
    assert exploded[0] == exploded[1] == pytest.approx(-(np.exp(20) + 1) / 2)


def test_a_missing_loss_means_no_confidence() -> None:
    assert np.isnan(score_sftmix_confidence(np.array([[1.0, np.nan]]))).all()
    assert np.isnan(score_sftmix_confidence(np.empty((2, 0)))).all()


def test_the_order_of_the_checkpoints_makes_no_difference() -> None:
    trajectory = np.random.default_rng(0).uniform(0, 9, (50, 7))
    shuffled = trajectory[:, np.random.default_rng(1).permutation(7)]
    np.testing.assert_array_equal(
        score_sftmix_confidence(trajectory), score_sftmix_confidence(shuffled)
    )


def test_a_negative_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="nats per token"):
        score_sftmix_confidence(np.array([[-1.0]]))
