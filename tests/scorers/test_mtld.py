import numpy as np
import pytest

from scorers.mtld import score_mtld

SHOP = (
    "In the beginning there was a small shop by the river. The shop sold bread, and the bread was "
    "good. People came to the river for the bread, and they came to the shop for the talk. In the "
    "winter the river froze, but the shop was open, and the people came over the ice to buy the "
    "bread and to hear what was new by the river."
)


def score(*texts: str, threshold: float = 0.72, least_words: int = 1) -> list[float]:
    column = np.array(texts, dtype=object)
    return [*score_mtld(column, threshold=threshold, least_words=least_words)]


def test_the_example_of_the_paper() -> None:
    # Forwards "of the people by the people" ends at 4/6; "for the people" is left, of ratio 1.
    # Backwards "people the for people the" ends at 3/5; "people by the of" is left, of ratio 1.
    assert score("of the people by the people for the people") == [9.0]


def test_what_is_left_counts_in_part_and_both_directions_are_averaged() -> None:
    # a b c a d: 4/5 is above 0.72, so (1 - 0.8) / (1 - 0.72) = 5/7 of a factor, both ways.
    # a a b c d: forwards "a a" ends at 1/2 and "b c d" is left, 1 factor; backwards 5/7.
    assert score("a b c a d", "a a b c d") == pytest.approx([7.0, 6.0])


def test_agrees_with_other_code() -> None:
    # lexical-diversity 0.1.1, mtld(words, min=1)
    assert score(SHOP) == pytest.approx([19.833333333333336])


def test_a_ratio_at_the_threshold_ends_nothing() -> None:
    # Both words of "a a" end a factor at 1/2 < 0.6, but not at 1/2 < 0.5: then 1/2 is left.
    assert score("a a", threshold=0.6) == [2.0]
    assert score("a a b", threshold=0.5) == pytest.approx([3 / (2 / 3)])


def test_short_texts_and_those_without_a_repetition_have_no_score() -> None:
    words = [f"word{n}" for n in range(49)]
    once, twice = " ".join([*words, "last"]), " ".join([*words, "word1"])
    np.testing.assert_array_equal(score("", once, "a"), [np.nan] * 3)
    long_enough = score_mtld(np.array([" ".join([*words[1:], "word1"]), twice], dtype=object))
    np.testing.assert_array_equal(np.isfinite(long_enough), [False, True])  # 49 words, and 50
    np.testing.assert_array_equal(score("", least_words=0), [np.nan])


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_is_a_ratio(threshold: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        score("a", threshold=threshold)


def test_least_words_are_as_much_text_in_every_script() -> None:
    # 20 different Han characters, twice: 40 of them are 22.9 words.
    text = "".join(map(chr, range(0x4E00, 0x4E14))) * 2
    scored = [score_mtld(np.array([text]), least_words=least)[0] for least in (22, 23)]
    assert scored[0] > 0 and np.isnan(scored[1])
