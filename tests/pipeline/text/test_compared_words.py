"""What is looked past when texts are compared, and what is not."""

# ruff: noqa: RUF001  signs that look alike are what is tested

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.compared_words import (
    ASCII_WORDS,
    compared_words,
    first_words,
    fold_text,
    word_weights,
)
from scorers.words import WORD


@pytest.mark.parametrize(
    "texts",
    [
        ("8 ÷ 4", "8 × 4", "8 − 4", "8 + 4", "8 / 4", "8 · 4", "8 4"),
        ("3 ≤ 5", "3 ≥ 5", "3 < 5", "3 = 5", "3 ≠ 5", "3 5"),
        ("C", "C#", "C++"),
        ("x - y", "x / y", "x * y", "x + y", "x y"),
        ("(a) / b", "(a) * b", "(a) b"),
        ("x ∈ A", "x ∉ A", "x A"),
        ("5!", "5", "√5", "−5"),
        ("n!", "n"),
        ("(n-1)!", "(n-1)"),
        ("a != b", "a = b", "!a = b"),
        ("50%", "50", "50‰"),
        ("10⁻³", "10³", "10-3", "103"),
        ("👍", "👎", "🇫🇷", "🇩🇪"),
        ("R & D", "R D"),
        ("P(A|B)", "P(A, B)"),
        ("20 °", "20"),
        ("€5", "£5", "5"),
        ("f′(x)", "f(x)", "f″(x)"),
        ("कि", "का", "क"),
        ("ที่", "ที", "ทู"),
        ("שֶׁל", "שָׁל", "של"),
        ("كَتَبَ", "كُتِبَ", "كتب"),
        ("கி", "கீ", "க"),
    ],
    ids=lambda texts: str(texts[0]),
)
def test_what_means_something_keeps_texts_apart(texts: tuple[str, ...]) -> None:
    assert len({tuple(compared_words(text)) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("8 − 4", "8 - 4"),
        ("8 – 4", "8 ‐ 4"),
        ("１２ ＋ ３", "12 + 3"),
        ("٣ + ٤", "3 + 4"),
        ("१२", "12"),
        ("1⁄2", "1/2"),
        ("ﾃﾞｰﾀ", "データ"),
        ("Ｃ＃", "c#"),
        ("well-known", "well known"),
        ("He left - at last!", "He left, at last."),
        ("In 2020! For 2.50! As w9!", "In 2020. For 2.50. As w9."),
        ("# Heading\n* item", "Heading\n- item"),
        ("co\u00adoperate", "cooperate"),
        ("ne\u200bver", "never"),
        ("❤\ufe0f", "❤"),
        ("cafe\u0301", "CAFÉ"),
        ("“Yes,” she said…", '"yes" she said'),
        ("《三体》、《球状闪电》", "三体 球状闪电"),
    ],
)
def test_what_means_nothing_is_looked_past(one: str, other: str) -> None:
    assert compared_words(one) == compared_words(other) != []


@given(st.text("aB1 -*/!#+=()[].,_x\n~'", max_size=12))
def test_the_fast_way_through_ascii_gives_what_the_pattern_finds(text: str) -> None:
    found = ASCII_WORDS.findall(text.lower())
    assert compared_words(text) == found
    assert compared_words(f"\x01{text}") == found, "also with characters that stand for signs"
    for beyond in ("éé", "कक"):  # Latin letters, and a script with combining marks
        assert compared_words(f"{text} {beyond}") == [*found, beyond]


def test_a_long_text_is_read_only_as_far_as_needed() -> None:
    assert first_words("A b, c d " * 1000, 4) == ["a", "b", "c", "d"]
    assert first_words("é b c d e " * 10, 4) == ["é", "b", "c", "d"]


def test_signs_weigh_nothing_and_characters_a_part_of_a_word() -> None:
    words = ["word", "_", "12", "+", "👍", "字", "か", "ก", "ั", "က", "ក", "कि", "é"]
    shares = [1, 1, 1, 0, 0, 4 / 7, 1 / 4, 1 / 5, 1 / 5, 1 / 6, 1 / 6, 1, 1]
    assert (word_weights(words) / WORD).tolist() == pytest.approx(shares)


def test_folding_keeps_white_space_and_punctuation() -> None:
    assert fold_text("Ａ,  b！\n") == "a,  b!\n"
