"""Two texts side by side: nothing is lost, and what only one of them has is marked."""

from pipeline.viewing.word_diff import MOST_WORDS, Stretch, compare_words


def test_what_only_one_has_is_marked() -> None:
    left, right = compare_words("the quick fox, here", "the slow fox  here")
    assert "".join(each.text for each in left) == "the quick fox, here"
    assert "".join(each.text for each in right) == "the slow fox  here"
    assert Stretch("quick", True) in left and Stretch("slow", True) in right
    assert left[0] == right[0] == Stretch("the ", False)
    assert compare_words("same words", "same words") == ([Stretch("same words", False)],) * 2
    assert compare_words("", "new") == ([], [Stretch("new", True)])


def test_long_texts_are_compared_as_far_as_that_goes() -> None:
    long = "word " * 5 * MOST_WORDS
    left, right = compare_words(long, long + "end")
    assert left == right == [Stretch("word " * MOST_WORDS, False)]
