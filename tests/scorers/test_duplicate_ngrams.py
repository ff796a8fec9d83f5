import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.duplicate_ngrams import score_duplicate_ngrams


def score(*texts: str, n: int = 5) -> list[float]:
    return [*score_duplicate_ngrams(np.array(texts, dtype=object), n=n)]


def test_all_copies_count_and_overlapping_ones_once() -> None:
    # Twos: "the cat" twice, "cat sat" twice; the cat sat, the cat sat: 18 of 21 letters, not "ran".
    assert score("The cat sat. The cat sat ran", n=2) == pytest.approx([-18 / 21])
    # "a a" is there twice in "a a a"; its three letters count once.
    assert score("a a a", n=2) == [-1.0]


def test_case_and_punctuation_do_not_matter() -> None:
    assert score("One, two three four five; one two: Three four FIVE!") == [-1.0]


def test_a_run_has_five_words_unless_told_otherwise() -> None:
    texts = np.array(["a b c d x a b c d", "a b c d e x a b c d e"], dtype=object)
    assert score_duplicate_ngrams(texts).tolist() == [0.0, -10 / 11]


def test_what_does_not_repeat_is_zero_and_not_minus_zero() -> None:
    values = score("one two three four five six seven", "too short")
    assert values == [0.0, 0.0]
    assert not np.signbit(values).any()


def test_no_word_is_no_score() -> None:
    np.testing.assert_array_equal(score("", "?!"), [np.nan, np.nan])


def test_chinese_is_cut_by_character() -> None:
    # Two words are four Han characters (1.75 a word): 8 of 9 stand in a run that comes twice.
    four = "\u732b\u72d7\u9e1f\u9c7c"
    assert score(f"{four}\u3002{four}\u3002\u9a6c", n=2) == [-8 / 9]
    assert score(f"{four[:3]}\u3002{four[:3]}\u3002\u9a6c", n=2) == [0], "three are fewer"


def test_a_run_has_a_word() -> None:
    with pytest.raises(ValueError, match="1 or more, got 0"):
        score("a", n=0)


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=1, max_size=15))
def test_longer_runs_repeat_no_more_than_shorter_ones(words: list[str]) -> None:
    text = " ".join(words)
    values = [score(text, n=n)[0] for n in (1, 2, 3, 4)]
    assert values == sorted(values)
