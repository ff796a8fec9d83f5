import numpy as np
import pytest

from scorers.arrays import require_losses, require_probabilities, require_same_length


def test_different_lengths_are_named() -> None:
    with pytest.raises(ValueError, match=r"'a': \(3,\), 'b': \(2, 4\)"):
        require_same_length(a=np.zeros(3), b=np.zeros((2, 4)))


def test_missing_losses_pass() -> None:
    require_losses(mean_nll=np.array([0.0, 700.0, np.nan]))


@pytest.mark.parametrize("wrong", [-0.1, 701.0, np.inf, -np.inf])
def test_what_cannot_be_a_mean_loss_is_an_error(wrong: float) -> None:
    with pytest.raises(ValueError, match="mean_nll is in nats per token"):
        require_losses(mean_nll=np.array([np.nan, wrong]))


@pytest.mark.parametrize("wrong", [-0.01, 1.01])
def test_what_cannot_be_a_probability_is_an_error(wrong: float) -> None:
    require_probabilities(p=np.array([0.0, 1.0, np.nan]))
    with pytest.raises(ValueError, match="p is a probability"):
        require_probabilities(p=np.array([wrong]))
