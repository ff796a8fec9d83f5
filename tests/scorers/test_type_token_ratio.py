import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scorers.type_token_ratio import score_type_token_ratio


def score(*texts: str) -> list[float]:
    return [*score_type_token_ratio(np.array(texts, dtype=object))]


def test_counts_different_words() -> None:
    # the cat saw the cat: 3 of 5
    assert score("The cat saw the cat.", "one two", "no No NO no") == [0.6, 1.0, 0.25]


def test_chinese_is_counted_by_character() -> None:
    assert score("\u732b\u548c\u732b\u3002") == [2 / 3]


def test_no_word_is_no_score() -> None:
    np.testing.assert_array_equal(score("", " ?!"), [np.nan, np.nan])


@given(st.lists(st.sampled_from("abcde"), min_size=1))
def test_repeating_a_text_n_times_divides_its_ratio_by_n(words: list[str]) -> None:
    once, thrice = score(" ".join(words), " ".join(words * 3))
    assert np.isclose(once, 3 * thrice)
