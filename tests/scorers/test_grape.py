import numpy as np
import pytest

from scorers.grape import score_grape


def test_is_the_log_probability_per_token() -> None:
    # Tokens of probability 1/2 and 1/8: (ln 1/2 + ln 1/8) / 2 = -ln 4.
    np.testing.assert_allclose(score_grape(np.log([4.0])), [-np.log(4)])


def test_length_alone_changes_nothing() -> None:
    # Both have 0.5 nats per token; the sums, 1 and 50 nats, would prefer the short one.
    short, long = np.full(2, 0.5).mean(), np.full(100, 0.5).mean()
    values = score_grape(np.array([short, long]))
    assert values[0] == values[1]


def test_the_likelier_per_token_wins_though_its_sum_is_smaller() -> None:
    bad_and_short, good_and_long = np.full(2, 1.5), np.full(20, 0.4)
    values = score_grape(np.array([bad_and_short.mean(), good_and_long.mean()]))
    assert values.argmax() == 1
    assert -bad_and_short.sum() > -good_and_long.sum()


def test_a_certain_response_scores_zero_and_a_missing_one_nothing() -> None:
    values = score_grape(np.array([0.0, np.nan]))
    assert str(values[0]) == "0.0"
    assert np.isnan(values[1])


def test_log_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="log-probabilities"):
        score_grape(np.array([-0.3]))
