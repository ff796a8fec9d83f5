import numpy as np
import pytest

from scorers.arrays import Floats
from scorers.rating import score_rating

SIX = np.arange(1.0, 7.0)


def score(probabilities: Floats, mass: float = 1.0) -> float:
    """Score one row with marks from 1."""
    marks = np.arange(1.0, len(probabilities) + 1)
    return float(score_rating(probabilities[None], marks[None], np.array([mass]))[0])


def read_options(logits: Floats, options: int) -> tuple[Floats, float]:
    """What a judge says whose first tokens have these logits, the options coming first."""
    everything = np.exp(logits - logits.max())
    everything /= everything.sum()
    mass = everything[:options].sum()
    return everything[:options] / mass, float(mass)


def test_a_judge_that_cannot_tell_is_in_the_middle_and_a_sure_one_at_its_mark() -> None:
    assert score(np.full(6, 1 / 6)) == pytest.approx(3.5)
    for mark, sure in enumerate(np.eye(6), start=1):
        assert score(sure) == mark


def test_weighs_each_mark_with_its_probability() -> None:
    # 1 * 0.2 + 2 * 0.5 + 3 * 0.3 = 2.1
    assert score(np.array([0.2, 0.5, 0.3])) == pytest.approx(2.1)


def test_marks_are_the_numbers_of_the_options_whatever_their_order() -> None:
    probabilities = np.array([[0.25, 0.75], [0.75, 0.25]])
    marks = np.array([[10.0, -2.0], [-2.0, 10.0]])
    np.testing.assert_allclose(score_rating(probabilities, marks, np.ones(2)), [1.0, 1.0])


def test_what_the_judge_wanted_to_say_besides_does_not_matter() -> None:
    logits = np.random.default_rng(1).normal(size=40)
    logits[:6] += 8
    other = logits.copy()
    other[6:] += 3.0
    (said, mass), (said_less, less) = read_options(logits, 6), read_options(other, 6)
    assert 0.5 < less < mass - 0.01
    assert score(said, mass) == pytest.approx(score(said_less, less), abs=1e-9)


def test_a_mass_below_the_least_is_no_rating() -> None:
    sure, marks = np.tile(np.eye(6)[5], (3, 1)), np.tile(SIX, (3, 1))
    mass = np.array([0.009, 0.01, 1.0])
    np.testing.assert_array_equal(score_rating(sure, marks, mass), [np.nan, 6, 6])
    np.testing.assert_array_equal(score_rating(sure, marks, mass, least_mass=0.0), [6, 6, 6])
    assert np.isnan(score_rating(sure, marks, mass, least_mass=1.0)[:2]).all()


def test_what_is_missing_is_no_rating_and_no_mark_in_the_middle() -> None:
    nan, uniform = np.nan, [1 / 6] * 6
    probabilities = np.array([[nan] * 6, uniform, uniform])
    marks = np.array([SIX, [nan] * 6, SIX])
    assert np.isnan(score_rating(probabilities, marks, np.array([1.0, 1.0, nan]))).all()


def test_wrong_input_is_refused() -> None:
    one, marks, mass = np.array([[0.5, 0.5]]), np.array([[1.0, 2.0]]), np.array([1.0])
    with pytest.raises(ValueError, match="one shape"):
        score_rating(one, np.array([[1.0]]), mass)
    with pytest.raises(ValueError, match="one length"):
        score_rating(one, marks, np.ones(2))
    with pytest.raises(ValueError, match="mass is a probability"):
        score_rating(one, marks, mass + 0.5)
    with pytest.raises(ValueError, match=r"sum to 1, got 0\.5"):
        score_rating(one / 2, marks, mass)
    with pytest.raises(ValueError, match="least_mass is a probability"):
        score_rating(one, marks, mass, least_mass=1.5)
