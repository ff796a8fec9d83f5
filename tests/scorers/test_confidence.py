import numpy as np
import pytest

from scorers.confidence import score_confidence

CORRECT, INCORRECT, NOT_SURE = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def score(
    contradiction: float, match: float, reply: list[float], backward: float | None = None
) -> float:
    """Score one row with five equal samples and two equal questions."""
    forward = np.full((1, 5), contradiction)
    values = score_confidence(
        forward,
        forward if backward is None else np.full((1, 5), backward),
        np.full((1, 5), match),
        np.array([[reply, reply]]),
    )
    return float(values[0])


@pytest.mark.parametrize(
    ("contradiction", "match", "reply", "expected"),
    [
        (0, 1, CORRECT, 1),  # samples are the response, and the model approves
        (1, 0, INCORRECT, 0),
        (0, 0, INCORRECT, 0.56),  # 0.7 * 0.8
        (1, 1, INCORRECT, 0.14),  # 0.7 * 0.2
        (1, 0, CORRECT, 0.3),
        (1, 0, NOT_SURE, 0.15),
    ],
)
def test_weighs_its_three_parts(
    contradiction: float, match: float, reply: list[float], expected: float
) -> None:
    assert score(contradiction, match, reply) == pytest.approx(expected)


def test_swapping_the_directions_of_contradiction_changes_nothing() -> None:
    assert score(0.9, 0, CORRECT, backward=0.2) == score(0.2, 0, CORRECT, backward=0.9)
    assert score(0.9, 0, CORRECT, backward=0.2) != score(0.9, 0, CORRECT)


def test_the_weights_are_settings() -> None:
    columns = np.array([[0.0]]), np.array([[0.0]]), np.array([[0.0]]), np.array([[INCORRECT]])
    np.testing.assert_allclose(score_confidence(*columns, alpha=0.5, beta=0.4), [0.2])


def test_a_reply_counts_by_its_distribution() -> None:
    # 0.6 + 0.5 * 0.3 = 0.75; beta 0 leaves the reflection alone.
    columns = np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1))
    values = score_confidence(*columns, np.array([[[0.6, 0.1, 0.3]]]), beta=0.0)
    np.testing.assert_allclose(values, [0.75])


def test_missing_samples_and_replies_are_left_out_of_the_mean() -> None:
    nan = np.nan
    forward = np.array([[0.0, nan, 1.0], [0.0, 0.4, nan]])
    backward = np.array([[0.0, 0.0, nan], [0.0, 0.4, nan]])
    match = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, nan]])
    reflection = np.array([[CORRECT, [nan] * 3], [CORRECT, INCORRECT]])
    values = score_confidence(forward, backward, match, reflection)
    # Row 0 has its first sample and first reply only. Row 1: O = (1 + 0.8 * 0.6) / 2, S = 1/2.
    np.testing.assert_allclose(values, [1, 0.7 * 0.74 + 0.3 * 0.5])


def test_no_sample_or_no_reply_is_no_score() -> None:
    nan = np.nan
    forward = np.array([[nan, nan], [0.0, 0.0]])
    reflection = np.array([[CORRECT], [[nan] * 3]])
    assert np.isnan(score_confidence(forward, forward, forward, reflection)).all()
    none = np.empty((1, 0))
    assert np.isnan(score_confidence(none, none, none, np.array([[CORRECT]]))).all()


def test_finds_the_corrupted_fifth_because_it_looks_at_the_given_response() -> None:
    # 100 questions, the model knows the answers; 20 given responses are wrong.
    rng = np.random.default_rng(0)
    wrong = np.arange(100) < 20
    contradiction = np.where(wrong[:, None], 0.9, 0.1) + rng.uniform(-0.1, 0.1, (100, 5))
    match = np.where(wrong[:, None], 0, rng.random((100, 5)) < 0.4)
    correct = np.where(wrong, 0.3, 0.7) + rng.uniform(-0.3, 0.3, 100)
    reflection = np.stack((correct, 1 - correct, np.zeros(100)), axis=1)[:, None]
    values = score_confidence(contradiction, contradiction, match.astype(float), reflection)
    above = values[wrong][:, None] < values[~wrong]
    assert above.mean() > 0.95  # area under the ROC curve of 1 - confidence


def test_wrong_input_is_refused() -> None:
    one, reflection = np.zeros((1, 1)), np.array([[CORRECT]])
    with pytest.raises(ValueError, match="one shape"):
        score_confidence(one, np.zeros((1, 2)), one, reflection)
    with pytest.raises(ValueError, match="one length"):
        score_confidence(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1)), reflection)
    with pytest.raises(ValueError, match="contradiction_forward is a probability"):
        score_confidence(one + 1.5, one, one, reflection)
    with pytest.raises(ValueError, match=r"sum to 1, got 0\.5"):
        score_confidence(one, one, one, np.array([[[0.5, 0.0, 0.0]]]))
    with pytest.raises(ValueError, match="weights from 0 to 1"):
        score_confidence(one, one, one, reflection, alpha=1.2)
