import numpy as np
import pytest

from scorers.prompt_copying import score_prompt_copying


def score(*pairs: tuple[str, str], n: int = 4) -> list[float]:
    prompts, responses = (np.array(column, dtype=object) for column in zip(*pairs, strict=True))
    return [*score_prompt_copying(prompts, responses, n=n)]


def test_counts_the_letters_of_runs_that_the_prompt_has() -> None:
    # "the cat sat" of "Yes, the cat sat down": 9 of 16 letters
    assert score(("Where the cat sat?", "Yes, the cat sat down"), n=3) == [-9 / 16]
    assert score(("a b c d e", "A, b: c d e!"), ("a b c d", "w x y z")) == [-1.0, 0.0]


def test_a_run_has_four_words_unless_told_otherwise() -> None:
    texts = np.array(["a b c", "a b c d"], dtype=object)
    assert score_prompt_copying(texts, texts).tolist() == [0.0, -1.0]


def test_it_is_the_response_that_is_measured() -> None:
    assert score(("a b c d e f g h", "a b c d"), ("a b c d", "a b c d e f g h")) == [-1.0, -0.5]


def test_shared_words_are_no_shared_run() -> None:
    values = score(("of the people", "the people of"), ("one", "one"), ("", "an answer"), n=2)
    assert values == [-9 / 11, 0.0, 0.0]
    assert not np.signbit(values[1:]).any()


def test_a_response_without_a_word_is_no_score() -> None:
    np.testing.assert_array_equal(score(("q", ""), ("q", "!")), [np.nan, np.nan])


def test_columns_have_one_length_and_a_run_has_a_word() -> None:
    texts = np.array(["a", "b"], dtype=object)
    with pytest.raises(ValueError, match="columns of one length"):
        score_prompt_copying(texts, texts[:1])
    with pytest.raises(ValueError, match="1 or more, got 0"):
        score(("a", "b"), n=0)
