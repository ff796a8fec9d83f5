import numpy as np
import pytest

from scorers.ifd import score_ifd
from scorers.ifd_perplexity import score_ifd_perplexity


def test_is_the_ratio_of_the_perplexities() -> None:
    # Perplexity 2 with the prompt, 8 without: 2 / 8.
    ratio = score_ifd_perplexity(np.log([2.0]), np.log([8.0]))
    np.testing.assert_allclose(ratio, [0.25])


def test_large_losses_do_not_overflow() -> None:
    ratio = score_ifd_perplexity(np.array([700.0]), np.array([700.0]))
    np.testing.assert_array_equal(ratio, [1.0])


def test_a_certain_response_has_a_ratio_here() -> None:
    np.testing.assert_array_equal(score_ifd_perplexity(np.zeros(1), np.zeros(1)), [1.0])


def test_it_orders_examples_otherwise_than_the_ratio_of_losses() -> None:
    # Losses (0.1, 0.2) and (2.0, 3.0): ratios 0.50 < 0.67, differences -0.1 > -1.0.
    mean_nll, alone = np.array([0.1, 2.0]), np.array([0.2, 3.0])
    assert np.argmax(score_ifd(mean_nll, alone)) == 1
    assert np.argmax(score_ifd_perplexity(mean_nll, alone)) == 0


def test_missing_and_wrong_losses() -> None:
    ratio = score_ifd_perplexity(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    assert np.isnan(ratio).all()
    with pytest.raises(ValueError, match="in nats per token"):
        score_ifd_perplexity(np.array([-0.5]), np.ones(1))
