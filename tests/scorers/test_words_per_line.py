import numpy as np

from scorers.words_per_line import score_words_per_line


def score(*texts: str) -> list[float]:
    return [*score_words_per_line(np.array(texts, dtype=object))]


def test_is_the_mean_over_lines_that_are_not_blank() -> None:
    # 4 + 1 words, 2 lines
    assert score("one two three four\n\nfive\n", "a") == [2.5, 1.0]


def test_a_line_of_signs_is_a_line_without_words() -> None:
    assert score("---\ntwo words", "---") == [1.0, 0.0]


def test_no_line_is_no_score() -> None:
    np.testing.assert_array_equal(score("", "\n"), [np.nan, np.nan])


def test_characters_count_for_as_many_words_as_they_say() -> None:
    # 7 Han characters at 4/7 and one word in a line; 10 of Thai at 1/5 in two
    assert score("一二三四五六七 ok", "กขคงจ\nกขคงจ") == [5.0, 1.0]
