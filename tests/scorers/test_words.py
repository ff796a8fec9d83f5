from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.words import (
    count_visible,
    find_words,
    run_ends,
    runs_of,
    share_in_runs,
    space_out,
    split_lines,
    split_words,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat, the DOG!", ["the", "cat", "the", "dog"]),
        ("don't 3.5 = x", ["don", "t", "3", "5", "x"]),
        ("", []),
        ("?!", []),
        ("Stra\u00dfe", ["strasse"]),
        ("cafe\u0301", ["caf\u00e9"]),  # an accent on its own is composed
        ("\u0915\u093f \u0915\u093e", ["\u0915\u093f", "\u0915\u093e"]),  # Hindi vowel signs stay
        ("\u4f60\u597dworld\u3002", ["\u4f60", "\u597d", "world"]),  # Chinese by character
        ("\U0001f600", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_characters_without_spaces_are_set_apart_from_all_others() -> None:
    assert space_out("a\u4f60\u597db c").split(" ") == ["a", "\u4f60", "", "\u597d", "b", "c"]
    assert space_out("plain text") == "plain text"


def test_found_words_stand_as_they_do_in_the_text() -> None:
    assert find_words("Na\u00efve_1, \u4f60\u597d!") == ["Na\u00efve_1", "\u4f60\u597d"]


def test_blank_lines_are_none() -> None:
    assert split_lines(" a \n\n \t\r\nb\u2028c") == ["a", "b", "c"]
    assert split_lines(" \n") == []


def test_white_space_is_not_visible() -> None:
    assert count_visible(" a\tb\u3000\u4f60\n") == 3


def test_runs_are_all_that_fit() -> None:
    assert list(runs_of(["a", "b", "c"], 2)) == [("a", "b"), ("b", "c")]
    assert list(runs_of(["a"], 2)) == []
    with pytest.raises(ValueError, match="1 or more, got 0"):
        runs_of(["a"], 0)


def test_characters_of_overlapping_runs_count_once() -> None:
    words = ["aa", "b", "cccc", "d"]
    assert share_in_runs(words, 2, {("aa", "b"), ("b", "cccc")}) == 7 / 8
    assert share_in_runs(words, 2, {("cccc", "d")}) == 5 / 8
    assert share_in_runs(words, 2, ()) == 0


def plain_share(words: Sequence[str], n: int, wanted: set[tuple[str, ...]]) -> float:
    """The same, by marking each word."""
    marked = [False] * len(words)
    for start in range(len(words) - n + 1):
        if tuple(words[start : start + n]) in wanted:
            marked[start : start + n] = [True] * n
    hit = sum(len(word) for word, mark in zip(words, marked, strict=True) if mark)
    return hit / sum(map(len, words))


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=1, max_size=12), st.integers(1, 4))
def test_the_share_is_that_of_the_marked_words(words: list[str], n: int) -> None:
    wanted = {run for run in runs_of(words, n) if run[0] != "a"}
    assert share_in_runs(words, n, wanted) == plain_share(words, n, wanted)


@pytest.mark.parametrize(
    ("words", "n", "ends"),
    [
        (["a", "b", "c"], 2, [2, 3]),
        (["a"], 2, []),
        ([], 1, []),
        (["\u732b"] * 6, 2, [4, 5, 6]),  # Han: 4/7 of a word each, so 4 are the first to make 2
        (["\u3042"] * 5, 1, [4, 5]),  # kana: a quarter
        (["\u0e01"] * 6, 1, [5, 6]),  # Thai: a fifth
        (["\u1000"] * 6, 1, [6]),  # Burmese: a sixth
        (["a", "\u732b", "\u732b", "b", "c"], 2, [3, 4, 5, 5]),
        (["\u00e9t\u00e9", "b"], 1, [1, 2]),
    ],
)
def test_a_run_is_as_much_text_in_every_script(words: list[str], n: int, ends: list[int]) -> None:
    assert run_ends(words, n) == ends


def test_runs_of_fewer_than_one_word_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or more, got 0"):
        run_ends(["a"], 0)
