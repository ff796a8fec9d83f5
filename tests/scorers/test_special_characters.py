import numpy as np

from scorers.special_characters import score_special_characters


def score(*texts: str) -> list[float]:
    return [*score_special_characters(np.array(texts, dtype=object))]


def test_counts_what_is_neither_letter_nor_digit_nor_space() -> None:
    # a, b and 1 of "a-b_1 ?": 3 of 6
    assert score("a-b_1 ?", "a b", "!?") == [-0.5, 0.0, -1.0]


def test_letters_of_any_script_are_letters_with_their_marks() -> None:
    values = score(
        "\u0915\u093f", "e\u0301", "\u732b", "\u0661"
    )  # Hindi, an accent, Chinese, a digit
    assert values == [0.0] * 4
    assert not np.signbit(values).any()
    assert score("\u732b\u3002", "a\U0001f600") == [-0.5, -0.5]


def test_white_space_alone_is_no_score() -> None:
    np.testing.assert_array_equal(score("", " \n"), [np.nan, np.nan])
