"""A text is blank where a reader sees nothing of it, however many characters it has."""

import json
import unicodedata

import pytest

from storage.visible import harmless, is_blank


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


ACTIVE = [
    "\x1b[2J",
    "\x1b]52;c;ZXZpbA==\x07",  # writes into the clipboard
    "\x9b31m",  # the same in C1
    "\r",
    "\x08",
    "\x7f",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\ufeff",
    "\U000e0041",  # a tag: a letter that nobody sees
    "\ud800",
]


@pytest.mark.parametrize("text", ACTIVE)
def test_what_a_terminal_would_obey_is_written_out(text: str) -> None:
    shown = harmless(f"a{text}b")
    assert text[0] not in shown
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == f"a{text}b"  # in JSON nothing is lost


def test_scripts_and_emoji_stay() -> None:
    for text in (
        "a\tb\nc",
        "\u0645\u06cc\u200c\u062e",
        "\U0001f468\u200d\U0001f469",
        "\u2764\ufe0f",
        "caf\u00e9",
    ):
        assert harmless(text) == text


def test_no_control_is_left_but_those_of_lines() -> None:
    controls = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"]
    left = [each for each in controls if harmless(each) == each]
    assert left == ["\t", "\n"]
