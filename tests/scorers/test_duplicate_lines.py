import numpy as np

from scorers.duplicate_lines import score_duplicate_lines


def score(*texts: str) -> list[float]:
    return [*score_duplicate_lines(np.array(texts, dtype=object))]


def test_counts_the_characters_of_every_copy() -> None:
    # "abc" twice, 6 of 6 + 4
    assert score("abc\nwxyz\n  abc  ", "same\n\nsame\n") == [-0.6, -1.0]


def test_blank_lines_are_no_copies() -> None:
    values = score("a\n\n\nb", "A\na")
    assert values == [0.0, 0.0]
    assert not np.signbit(values).any()


def test_no_line_is_no_score() -> None:
    np.testing.assert_array_equal(score("", "\n \n"), [np.nan, np.nan])
