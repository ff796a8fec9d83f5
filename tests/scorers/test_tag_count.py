import numpy as np
import pytest

from scorers.tag_count import score_tag_count


def test_more_tags_are_a_higher_score_and_no_tags_none() -> None:
    counts = np.array([3.0, 0.0, np.nan])
    np.testing.assert_array_equal(score_tag_count(counts), counts)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more, got -1"):
        score_tag_count(np.array([1.0, -1.0, np.nan]))
