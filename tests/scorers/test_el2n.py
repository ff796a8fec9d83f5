import numpy as np
import pytest

from scorers.el2n import score_el2n


def test_it_is_the_mean_error_and_a_missing_one_stays_missing() -> None:
    given = np.array([0.0, np.sqrt(2), np.nan])
    score = score_el2n(given)
    np.testing.assert_array_equal(score, given)
    assert score is not given


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.inf])
def test_what_can_be_no_error_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="from 0 to sqrt 2"):
        score_el2n(np.array([1.0, wrong]))
