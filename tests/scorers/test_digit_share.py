import numpy as np

from scorers.digit_share import score_digit_share


def score(*texts: str) -> list[float]:
    return [*score_digit_share(np.array(texts, dtype=object))]


def test_counts_digits_among_what_is_visible() -> None:
    # 2 and 5 of "a 2.5"
    assert score("a 2.5", "2024", "none") == [-0.5, -1.0, 0.0]
    assert not np.signbit(score("none")).any()


def test_digits_of_other_scripts_count_and_words_for_numbers_do_not() -> None:
    assert score("\u0661\u0662", "\uff12", "\u4e8c", "\u00bd") == [-1.0, -1.0, 0.0, 0.0]


def test_white_space_alone_is_no_score() -> None:
    np.testing.assert_array_equal(score("", " \n"), [np.nan, np.nan])
