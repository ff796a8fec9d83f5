"""What was shown is found again in a text, and what only looks like it is not."""

from pipeline.generation.shown_text import repeats_shown, speaks_of_hint

SHOWN = ["Work it out step by step as if you had not been told, and say so."]


def test_eight_words_in_a_row_are_a_repetition() -> None:
    assert repeats_shown("We WORK it out: step by step, as if.", SHOWN)
    assert not repeats_shown("We work it out step by step as one", SHOWN)
    assert not repeats_shown("", SHOWN) and not repeats_shown("word " * 20, [])


def test_words_of_a_hint_count_unless_the_prompt_has_them() -> None:
    assert speaks_of_hint("By the given answer, 6") and speaks_of_hint("A hint: 6")
    assert not speaks_of_hint("The correct answer is 6") and not speaks_of_hint("hinting at 6")
    assert not speaks_of_hint("The hint says 6", "Use the hint: it is even")
