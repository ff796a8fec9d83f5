"""What declines, and what says nothing."""

import pytest

from pipeline.generation.written_text import has_no_content, is_refusal, refuses


@pytest.mark.parametrize(
    ("text", "declines", "refusal"),
    [
        ("I cannot assist with that.", True, True),
        ("As an AI, I know no river.", True, True),
        ("Sorry, none.", False, True),
        ("sorry " + "river " * 78, False, True),  # 79 words
        ("sorry " + "river " * 79, False, False),
        ("I cannot assist with that. " + "river " * 80, True, False),
        ("They assist with that, and are not sorrier.", False, False),
    ],
)
def test_only_a_short_answer_that_is_sorry_is_a_refusal(
    text: str, declines: bool, refusal: bool
) -> None:
    assert (refuses(text), is_refusal(text)) == (declines, refusal)


@pytest.mark.parametrize(
    ("text", "empty"),
    [("", True), ("-- ?!", True), ("It is what it is.", True), ("It is 7.", False), ("Ja", False)],
)
def test_signs_and_function_words_say_nothing(text: str, empty: bool) -> None:
    assert has_no_content(text) == empty
