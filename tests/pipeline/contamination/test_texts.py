"""What a word is, and that changed numbers can be looked past."""

from typing import Any

import pytest

from pipeline.contamination.texts import TurnText, plain_words, read_turn_texts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Tom's 3-day trip, $2.50!", ["tom", "s", "3", "day", "trip", "2", "50"]),
        ("16 - 3 = 13", ["16", "-", "3", "=", "13"]),
        ("Straße CAFE\u0301", ["strasse", "caf\u00e9"]),
        ("Janet\u2019s eggs", ["janet", "s", "eggs"]),
        ("今天 ok", ["今", "天", "ok"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("...?", []),
        ("", []),
    ],
)
def test_words_are_letters_digits_marks_and_signs(text: str, words: list[str]) -> None:
    assert plain_words(text) == words


def test_a_number_can_be_any_number() -> None:
    one, other = "He paid 1,250.75 for 3 eggs.", "He paid 8 for 12 eggs."
    assert plain_words(one, "any") == plain_words(other, "any")
    assert plain_words(one) != plain_words(other)


def test_turns_keep_roles_and_what_a_person_reads() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    first, second = read_turn_texts(messages)
    assert first == TurnText("user", "Add.")
    assert second.role == "assistant" and "add" in second.text
