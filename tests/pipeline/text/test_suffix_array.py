from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.suffix_array import SEPARATOR, SuffixIndex, build_index, order_suffixes
from pipeline.text.tokens import split_forms

WORDS = st.lists(st.sampled_from("abc"), max_size=9).map(" ".join)
ROWS = st.lists(st.tuples(WORDS, WORDS), max_size=8)


def naive_places(rows: list[tuple[str, str]], span: list[str]) -> list[tuple[int, int]]:
    """Part and word of each place, by looking everywhere."""
    found = []
    for number, text in enumerate(text for row in rows for text in row):
        forms = split_forms(text)
        for at in range(len(forms) - len(span) + 1):
            if forms[at : at + len(span)] == span:
                found.append((number, at))
    return found


def places(index: SuffixIndex, span: list[str]) -> list[tuple[int, int]]:
    positions = np.sort(index.order[slice(*index.find(index.encode(span)))])
    parts = index.parts_at(positions)
    return list(zip(parts.tolist(), (positions - index.starts[parts]).tolist(), strict=True))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 300), max_size=60))
def test_suffixes_are_sorted_and_each_is_there_once(tokens: list[int]) -> None:
    order = order_suffixes(np.array(tokens, dtype=np.uint32)).tolist()
    assert order == sorted(range(len(tokens)), key=lambda at: tokens[at:])


@settings(max_examples=60)
@given(ROWS, st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
def test_every_place_is_found_and_no_other(rows: list[tuple[str, str]], span: list[str]) -> None:
    assert places(build_index(rows), span) == naive_places(rows, span)


@settings(max_examples=60)
@given(ROWS, st.lists(st.sampled_from("abcd"), max_size=9))
def test_the_longest_run_is_found(rows: list[tuple[str, str]], query: list[str]) -> None:
    index = build_index(rows)
    expected = max(n for n in range(len(query) + 1) if not n or naive_places(rows, query[:n]))
    assert index.longest(index.encode(query)) == expected


def test_no_match_crosses_from_a_row_or_a_part_into_the_next() -> None:
    index = build_index([("one two", "three four"), ("five six", "seven")])
    for junction in ("two three", "four five", "two three four", "six seven"):
        assert places(index, junction.split()) == []
    assert index.longest(index.encode(["three", "four", "five"])) == 2


def test_separators_and_unknown_words_match_nothing() -> None:
    index = build_index([("a b", "c"), ("a b", "c")])
    assert index.encode(["a", "nowhere", ""]).tolist()[1:] == [SEPARATOR, SEPARATOR]
    separator = np.array([SEPARATOR], dtype=np.uint32)
    b = index.encode(["b"])
    for query in (separator, np.concatenate((b, separator)), np.concatenate((separator, b))):
        assert index.find(query) == (0, 0)
    assert index.longest(np.concatenate((b, separator))) == 1
    assert index.longest(separator) == 0
    assert index.find(b[:0]) == (0, 0)


def test_words_are_counted() -> None:
    rows = [("a b a", "a"), ("b c", ""), ("", "")]
    index = build_index(rows)
    words = Counter("abaabc")
    for word, within in (("a", 1), ("b", 2), ("c", 1)):
        (token,) = index.encode([word]).tolist()
        assert (index.counts[token], index.rows_with[token]) == (words[word], within)
    assert (index.rows, index.words) == (3, 6)


def test_case_and_signs_count_and_white_space_does_not() -> None:
    index = build_index([("The  cat,\nindeed", "")])
    assert places(index, split_forms("The cat, indeed")) == [(0, 0)]
    for other in ("the cat, indeed", "The cat indeed"):
        assert places(index, split_forms(other)) == []


def test_the_order_in_which_words_come_up_makes_no_difference_to_them() -> None:
    first, second = build_index([("x y", "z")]), build_index([("z y", "x")])
    np.testing.assert_array_equal(first.vocabulary, second.vocabulary)
    np.testing.assert_array_equal(first.tokens[[0, 1, 3]], second.tokens[[3, 1, 0]])


@pytest.mark.parametrize("rows", [[], [("", "")]])
def test_rows_without_a_word_hold_nothing(rows: list[tuple[str, str]]) -> None:
    index = build_index(rows)
    assert index.longest(index.encode(["a"])) == 0
    assert index.find(index.encode(["a"])) == (0, 0)
    assert (index.rows, index.words) == (len(rows), 0)
