"""Runs of n words, where words and signs differ in how much text they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.word_windows import count_added, hash_windows, window_ends
from scorers.words import WORD

HALF = WORD // 2


def test_a_window_ends_where_its_words_are_reached() -> None:
    """Two texts: word, sign, word, two halves, word; and two words. Windows of two words."""
    weights = np.array([WORD, 0, WORD, HALF, HALF, WORD, WORD, WORD])
    ends = window_ends(weights, np.array([0, 6, 8]), 2)
    # From 0 to the word at 2; none from the sign; from 2 over both halves; from 3 they and the
    # word behind; from 4 there is a word and a half; the second text is one window.
    assert ends.tolist() == [3, -1, 5, 6, -1, -1, 8, -1]
    assert window_ends(np.empty(0, dtype=np.int64), np.array([0]), 2).tolist() == []
    assert window_ends(np.array([WORD]), np.array([0, 0, 1, 1]), 1).tolist() == [1]
    # The same without characters, where each word is one: word, sign, word, word; word.
    whole = np.array([WORD, 0, WORD, WORD, WORD])
    assert window_ends(whole, np.array([0, 4, 5]), 2).tolist() == [3, -1, 4, -1, -1]
    assert window_ends(whole, np.array([0, 4, 5]), 9).tolist() == [-1] * 5


@given(
    st.lists(st.integers(1, 3), max_size=14),
    st.lists(st.sampled_from([0, HALF, WORD]), min_size=14, max_size=14),
)
def test_equal_windows_have_equal_hashes_wherever_they_stand(
    ids: list[int], shares: list[int]
) -> None:
    words = np.array(ids, dtype=np.int64)
    weights = np.array(shares)[words] if len(words) else words  # by the word, as it must be
    ends = window_ends(weights, np.array([0, len(words)]), 2)
    begins = np.flatnonzero(ends >= 0)
    hashes = hash_windows(words, begins, ends[begins]).tolist()
    texts = [tuple(ids[b : ends[b]]) for b in begins.tolist()]
    assert len(set(hashes)) == len(set(texts)) == len(set(zip(hashes, texts, strict=True)))


def test_text_in_two_windows_counts_once() -> None:
    """0 to 3 and 2 to 5 of one group are 5, of another 2 to 5 and 7 to 8 are 4."""
    added = count_added(np.array([0, 0, 1, 1]), np.array([0, 2, 2, 7]), np.array([3, 5, 5, 8]))
    assert added.tolist() == [3, 2, 3, 1]
