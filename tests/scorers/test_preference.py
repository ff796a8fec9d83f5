import numpy as np
import pytest

from scorers.preference import score_preference

MASS = np.array([[0.9, 0.9]])


def test_is_the_mean_over_both_orders() -> None:
    verdicts = np.array([[[0.1, 0.8, 0.1], [0.3, 0.5, 0.2]]])
    np.testing.assert_allclose(score_preference(verdicts, MASS), [(0.8 + 0.5) / 2])


def test_a_judge_that_leans_to_a_place_prefers_nothing() -> None:
    first = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    assert score_preference(first, MASS) == [0.5]


def test_a_tie_speaks_for_neither() -> None:
    assert score_preference(np.array([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]), MASS) == [0.0]


def test_there_is_none_where_the_judge_said_other_things() -> None:
    verdicts = np.tile([0.1, 0.8, 0.1], (2, 2, 1))
    mass = np.array([[0.9, 0.2], [0.9, 0.3]])
    np.testing.assert_allclose(score_preference(verdicts, mass, least_mass=0.3), [np.nan, 0.8])


def test_a_missing_verdict_is_no_half() -> None:
    verdicts = np.array([[[0.1, 0.8, 0.1], [np.nan] * 3]])
    assert np.isnan(score_preference(verdicts, MASS)).all()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="must sum to 1"):
        score_preference(np.array([[[0.1, 0.1, 0.1], [0.1, 0.8, 0.1]]]), MASS)
    with pytest.raises(ValueError, match="least_mass"):
        score_preference(np.array([[[1.0, 0.0, 0.0]] * 2]), MASS, least_mass=2.0)
    with pytest.raises(ValueError, match="one length"):
        score_preference(np.empty((0, 2, 3)), MASS)
