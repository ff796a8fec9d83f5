import numpy as np
import pytest

from scorers.response_length import score_response_length


def test_counts_tokens() -> None:
    np.testing.assert_array_equal(score_response_length(np.array([12, 0, 7])), [12.0, 0.0, 7.0])


def test_a_missing_count_is_no_score() -> None:
    values = score_response_length(np.array([3.0, np.nan]))
    np.testing.assert_array_equal(values, [3.0, np.nan])


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be negative, got -1"):
        score_response_length(np.array([4, -1]))
