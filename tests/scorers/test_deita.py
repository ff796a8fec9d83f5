import numpy as np
import pytest

from scorers.deita import score_deita

NAN = np.nan
UNIFORM = [1 / 6] * 6
GONE = [NAN] * 6


def one_hot(mark: int) -> list[float]:
    return [float(mark == each) for each in range(1, 7)]


def score(
    complexity: list[list[list[float]]], quality: list[list[list[float]]], **settings: float
) -> np.ndarray:
    """Scores where the marks of every turn that is there have all of the mass."""
    hard, good = np.array(complexity), np.array(quality)
    masses = [np.where(np.isnan(each[..., 0]), NAN, 1.0) for each in (hard, good)]
    return score_deita(hard, masses[0], good, masses[1], **settings)  # type: ignore[arg-type]


def test_the_expected_marks_are_multiplied_and_added_up_over_the_turns() -> None:
    half = [0.5, 0.5, 0, 0, 0, 0]
    # 1.5 * 6 + 3.5 * 2 = 16, and one turn of 3.5 * 3.5 = 12.25.
    values = score([[half, UNIFORM], [UNIFORM, GONE]], [[one_hot(6), one_hot(2)], [UNIFORM, GONE]])
    np.testing.assert_allclose(values, [16, 12.25])


def test_of_one_turn_it_goes_from_1_to_36() -> None:
    np.testing.assert_allclose(score([[one_hot(1)]], [[one_hot(1)]]), [1])
    np.testing.assert_allclose(score([[one_hot(6)]], [[one_hot(6)]]), [36])


def test_a_turn_cut_in_two_adds_what_its_parts_are_worth() -> None:
    first, second = one_hot(2), one_hot(5)
    whole = score([[first, second]], [[second, first]])
    parts = score([[first]], [[second]]) + score([[second]], [[first]])
    np.testing.assert_allclose(whole, parts)


def test_the_average_does_not_grow_with_the_turns() -> None:
    turns = [UNIFORM, one_hot(6)]
    sums = score([turns, [*turns[:1], GONE]], [turns, [*turns[:1], GONE]])
    means = score([turns, [*turns[:1], GONE]], [turns, [*turns[:1], GONE]], average=True)
    np.testing.assert_allclose(sums, [12.25 + 36, 12.25])
    np.testing.assert_allclose(means, [(12.25 + 36) / 2, 12.25])


def test_a_turn_without_a_mark_leaves_the_row_without_a_score() -> None:
    marks = np.array([[one_hot(3), one_hot(3)]] * 4)
    mass = np.array([[1.0, 1.0], [1.0, 0.05], [1.0, NAN], [0.1, 0.1]])
    full = np.ones((4, 2))
    for masses in ((mass, full), (full, mass)):
        values = score_deita(marks, masses[0], marks, masses[1], least_mass=0.1)
        np.testing.assert_array_equal(values, [18, NAN, NAN, 18])
        values = score_deita(marks, masses[0], marks, masses[1], average=True, least_mass=0.1)
        np.testing.assert_array_equal(values, [9, NAN, NAN, 9])
    unread = marks.copy()
    unread[0, 1] = NAN
    assert np.isnan(score_deita(unread, full, marks, full)[0])


def test_no_turn_is_no_score() -> None:
    assert np.isnan(score([[GONE]], [[GONE]])).all()
    assert score_deita(
        np.empty((0, 0, 6)), np.empty((0, 0)), np.empty((0, 0, 6)), np.empty((0, 0))
    ).shape == (0,)


def test_wrong_input_is_refused() -> None:
    marks, mass = np.array([[UNIFORM]]), np.ones((1, 1))
    with pytest.raises(ValueError, match=r"expected complexity \(n, t, 6\)"):
        score_deita(marks[..., :5], mass, marks, mass)
    with pytest.raises(ValueError, match="marks of quality must sum to 1"):
        score_deita(marks, mass, marks / 2, mass)
    with pytest.raises(ValueError, match="quality_mass is a probability"):
        score_deita(marks, mass, marks, 2 * mass)
    with pytest.raises(ValueError, match="least_mass"):
        score_deita(marks, mass, marks, mass, least_mass=1.5)
    two = np.array([[UNIFORM, UNIFORM]])
    with pytest.raises(ValueError, match="turns of complexity and quality differ"):
        score_deita(marks, mass, two, np.ones((1, 2)))
    with pytest.raises(ValueError, match="one length"):
        score_deita(marks, mass, two[:0], np.ones((0, 2)))


def test_longer_conversations_beside_it_change_nothing() -> None:
    marks = np.random.default_rng(5).dirichlet(np.ones(6), size=(2, 50, 21))
    mass = np.ones((50, 21))
    own = [score_deita(marks[0][:, :t], mass[:, :t], marks[1][:, :t], mass[:, :t]) for t in (5, 9)]
    for turns, alone in zip((5, 9), own, strict=True):
        shorter = mass.copy()
        shorter[:, turns:] = NAN
        padded = np.where(np.isnan(shorter)[..., None], NAN, marks)
        np.testing.assert_array_equal(score_deita(padded[0], shorter, padded[1], shorter), alone)
