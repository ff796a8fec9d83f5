"""Short answers: where they end, and which are the same."""

import pytest

from pipeline.generation.maker import Unread
from pipeline.generation.short_answers import (
    Compare,
    most_frequent,
    read_beginning,
    says_same,
)
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("Paris", "Paris"),  # no full stop cuts nothing off
        (" 3.5 km. More", "3.5 km"),
        ("one\ntwo", "one"),
        ("\u5317\u4eac\u3002\u662f", "\u5317\u4eac"),
        ("  ", ""),
    ],
)
def test_a_beginning_ends_with_its_sentence(text: str, beginning: str) -> None:
    assert read_beginning(GeneratedAnswer(text, 15, finished=False)) == beginning
    assert read_beginning(GenerationFailure("timeout", "")) == Unread("timeout")


def test_the_most_frequent_answer_is_counted_by_words_and_ties_go_to_the_shortest() -> None:
    assert most_frequent(["b  c", "B c", "a"]) == "B c"
    assert most_frequent(["bb", "a", "c"]) == "a"
    assert most_frequent(["Oslo", "Rome", "rome!", "oslo"]) == "Oslo"


@pytest.mark.parametrize(
    ("said", "given", "compare", "same"),
    [
        ("in New York", "new york", "words", True),
        ("in York, New", "New York", "words", False),
        ("Germany", "man", "words", False),
        ("so 12", "#### 12.0", "final_answer", True),
        ("so 13", "#### 12.0", "final_answer", False),
        ("none", "#### 12.0", "final_answer", False),
    ],
)
def test_what_says_the_same(said: str, given: str, compare: Compare, same: bool) -> None:
    assert says_same(said, given, compare) == same
