import numpy as np
import pytest

from pipeline.selection.methods.threshold import select_within

SCORES = np.array([0.2, 1.0, np.nan, 0.5, 1.2, -3.0])
IDS = np.array(list("fedcba"))


def test_the_bounds_are_within() -> None:
    outcome = select_within(SCORES, IDS, 0.5, 1.0)
    np.testing.assert_array_equal(outcome.indices, [1, 3])
    assert list(outcome.reasons) == [
        "below_threshold",
        "",
        "no_score",
        "",
        "above_threshold",
        "below_threshold",
    ]


def test_one_bound_is_enough_and_zero_is_a_bound() -> None:
    np.testing.assert_array_equal(select_within(SCORES, IDS, minimum=0).indices, [4, 1, 3, 0])
    np.testing.assert_array_equal(select_within(SCORES, IDS, maximum=0).indices, [5])


def test_wrong_bounds_are_refused() -> None:
    bounds: list[tuple[float | None, float | None]] = [(None, None), (2.0, 1.0), (np.nan, None)]
    for minimum, maximum in bounds:
        with pytest.raises(ValueError, match="minimum <= maximum"):
            select_within(SCORES, IDS, minimum, maximum)
