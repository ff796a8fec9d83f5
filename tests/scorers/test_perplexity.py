import numpy as np
import pytest

from scorers.grape import score_grape
from scorers.perplexity import score_perplexity


def test_is_the_inverse_probability_of_a_token_on_average() -> None:
    # Two tokens of probability 1/2 and 1/8: mean loss ln 4, perplexity 4.
    mean_nll = np.array([np.mean([np.log(2), np.log(8)]), 0.0])
    np.testing.assert_allclose(score_perplexity(mean_nll), [4, 1])


def test_a_missing_loss_has_no_perplexity() -> None:
    assert np.isnan(score_perplexity(np.array([np.nan]))).all()


def test_log_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="log-probabilities"):
        score_perplexity(np.array([-1.2]))


def test_it_ranks_in_the_reverse_order_of_grape() -> None:
    mean_nll = np.array([0.4, 2.0, 1.1, 0.05])
    by_perplexity = np.argsort(score_perplexity(mean_nll))
    np.testing.assert_array_equal(by_perplexity, np.argsort(score_grape(mean_nll))[::-1])
