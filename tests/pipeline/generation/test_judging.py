"""Replies of judges: a word that is there alone, or neither."""

import pytest

from pipeline.generation.judging import read_yes_or_no
from pipeline.generation.maker import Unread
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure

NEITHER = Unread("unparsed")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("no", False),
        ("yes.", True),
        ("**Yes**, yes!", True),
        ("The answer is: NO", False),
        ("not really", NEITHER),
        ("I know it is not", NEITHER),
        ("yes and no", NEITHER),
        ("yesterday's noise", NEITHER),
        ("ja", NEITHER),
        (" \n", Unread("empty_answer")),
    ],
)
def test_what_a_judge_says_is_not_guessed_at(text: str, verdict: object) -> None:
    assert read_yes_or_no(GeneratedAnswer(text, 1, finished=True)) == verdict


def test_what_was_not_had_or_cut_off_is_no_verdict() -> None:
    assert read_yes_or_no(GeneratedAnswer("yes", 1, finished=False)) == Unread("cut_off")
    assert read_yes_or_no(GenerationFailure("timeout", "x")) == Unread("timeout")
