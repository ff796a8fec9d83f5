import numpy as np
import pytest

from scorers.ifd import score_ifd


def test_is_the_ratio_of_the_losses() -> None:
    # 0.7 / 1.4: the prompt halves the loss. 1.9 / 1.0: it makes the response harder to believe.
    ratio = score_ifd(np.array([0.7, 1.9]), np.array([1.4, 1.0]))
    np.testing.assert_allclose(ratio, [0.5, 1.9])


def test_a_prompt_that_changes_nothing_gives_one_and_a_copied_response_near_zero() -> None:
    ratio = score_ifd(np.array([2.3, 0.01]), np.array([2.3, 2.3]))
    assert ratio[0] == 1
    assert ratio[1] < 0.01


def test_no_ratio_where_a_loss_is_missing_or_the_denominator_zero() -> None:
    ratio = score_ifd(np.array([np.nan, 1.0, 0.0, 1.0]), np.array([1.0, np.nan, 0.0, 0.0]))
    assert np.isnan(ratio).all()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        score_ifd(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="mean_nll_alone is in nats"):
        score_ifd(np.ones(1), np.array([-2.0]))
