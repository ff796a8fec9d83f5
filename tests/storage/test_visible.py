"""A text is blank where a reader sees nothing of it, however many characters it has."""

import unicodedata

import pytest

from storage.visible import is_blank


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t\u00a0\u3000",
        "\u200b",  # zero-width space
        "\ufeff",  # byte order mark
        "\u00ad\u00ad",  # soft hyphens
        "\ufe0f",  # variation selectors
        "\U000e0100",
        "\u202e\u2066 \u2069",  # bidi marks
        "\u2060\u2063",  # word joiner, invisible separator
        "\u3164\u115f\uffa0",  # Hangul fillers
        "\u2800",  # braille without dots
        "\x07\x1b",
        "\U000e0041",  # a tag without its flag
    ],
)
def test_nothing_is_seen(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize(
    "text", [".", "\u200ba", "\u2764\ufe0f", "\u0301", "\u0915\u094d\u200d", "…", "\ufffd"]
)
def test_something_is_seen(text: str) -> None:
    assert not is_blank(text)


def test_of_letters_marks_numbers_and_signs_only_fillers_are_blank() -> None:
    fillers = set("\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0")
    fillers |= {chr(i) for i in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10))}
    every = (chr(i) for i in range(0x20000) if unicodedata.category(chr(i))[0] in "LMNPS")
    assert {each for each in every if is_blank(each)} <= fillers
