import numpy as np
import pytest

from scorers.entropy import score_entropy


def test_it_is_the_mean_entropy_and_a_missing_one_stays_missing() -> None:
    given = np.array([0.0, 2.5, np.nan])
    score = score_entropy(given)
    np.testing.assert_array_equal(score, given)
    assert score is not given


@pytest.mark.parametrize("wrong", [-0.1, np.inf])
def test_what_can_be_no_entropy_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        score_entropy(np.array([1.0, wrong]))
