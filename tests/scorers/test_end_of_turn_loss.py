import numpy as np
import pytest

from scorers.end_of_turn_loss import score_end_of_turn_loss

NAN = np.nan


def test_the_least_expected_end_of_a_row_counts() -> None:
    turns = np.array([[0.25, 3.0, NAN], [0.0, NAN, NAN], [NAN, 1.5, NAN], [NAN, NAN, NAN]])
    scores = score_end_of_turn_loss(turns)
    np.testing.assert_array_equal(scores, [3.0, 0.0, 1.5, NAN])


def test_a_column_of_which_no_row_has_any_is_all_missing() -> None:
    np.testing.assert_array_equal(score_end_of_turn_loss(np.array([NAN, NAN])), [NAN, NAN])


def test_a_loss_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match=r"-0\.5"):
        score_end_of_turn_loss(np.array([[1.0, -0.5]]))
