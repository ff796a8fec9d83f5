"""Runs of words that several rows have, by hand; test_substring.py compares all pairs."""

import numpy as np

from pipeline.dedupe.shared_windows import (
    WindowLengths,
    covered_text,
    longest_runs,
    number_words,
    shared_windows,
)
from pipeline.text.word_windows import window_ends
from scorers.words import WORD


def test_words_are_numbered_as_they_come_and_signs_weigh_nothing() -> None:
    tokens, starts, weights = number_words(["a + b", "", "b"])
    assert tokens.tolist() == [1, 2, 3, 0, 0, 3, 0]
    assert starts.tolist() == [0, 4, 5, 7]
    assert weights.tolist() == [WORD, 0, WORD, 0, 0, WORD, 0]


def test_windows_of_two_words_that_two_rows_have() -> None:
    """a b c, and x b c a b: the places of "a b" are 0 and 7, those of "b c" 1 and 5."""
    tokens, starts, weights = number_words(["a b c", "x b c a b"])
    places, windows = shared_windows(tokens, starts, window_ends(weights, starts, 2))
    assert places.tolist() == [0, 1, 5, 7]
    assert windows[0] == windows[3] != windows[1] == windows[2]


def test_runs_and_covered_text_of_windows() -> None:
    """Windows of two words at 0, 1 and 4 stand in row 1 at 10, 11 and 20: three words in turn."""
    here, there, rows = np.array([0, 1, 4]), np.array([10, 11, 20]), np.array([1, 1, 1])
    places = np.arange(6)
    text = WindowLengths(places, WORD * places, WORD * (places + 2))
    assert longest_runs(here, there, rows, text) == {1: 3 * WORD}
    assert covered_text(here, rows, text) == {1: 5 * WORD}
