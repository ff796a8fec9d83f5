import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.shingles import Shingling, hash_shingles, shingle_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat, the DOG!", ["the", "cat", "the", "dog"]),
        ("snake_case 3.5", ["snake_case", "3", "5"]),
        ("well-known and/or", ["well", "known", "and", "or"]),
        ("12 - 5", ["12", "-", "5"]),
        ("12-5", ["12", "-", "5"]),
        ("x=a+b", ["x", "=", "a", "+", "b"]),
        ("- item\n* item", ["item", "item"]),
        ("?!", ["?!"]),
        ("", []),
        (" \n", []),
        ("Straße", ["strasse"]),
        ("cafe\u0301", ["caf\u00e9"]),  # an accent on its own is composed
        ("\u0915\u093f \u0915\u093e", ["\u0915\u093f", "\u0915\u093e"]),  # Hindi vowel signs stay
        ("\u4f60\u597dworld", ["\u4f60", "\u597d", "world"]),  # Chinese by character
        ("\U0001f600", ["\U0001f600"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert shingle_words(text) == words


def shingle_sets(texts: list[str], words: int) -> list[set[tuple[str, ...]]]:
    """What the hashes must be one to one with."""
    sets = []
    for text in texts:
        found = shingle_words(text)
        padded = found + [""] * (words - len(found)) * bool(found)
        starts = range(max(len(padded) - words + 1, 0))
        sets.append({tuple(padded[i : i + words]) for i in starts})
    return sets


@given(st.lists(st.text("ab c.", max_size=12), max_size=8), st.integers(1, 4))
def test_hashes_are_one_to_one_with_the_shingles(texts: list[str], words: int) -> None:
    hashed, expected = hash_shingles(texts, Shingling("words", words)), shingle_sets(texts, words)
    for i, one in enumerate(expected):
        assert len(hashed.of(i)) == len(one)
        for j, other in enumerate(expected):
            assert len(hashed.of(i) & hashed.of(j)) == len(one & other)


def test_the_order_of_words_counts() -> None:
    hashed = hash_shingles(["a b c d", "d c b a", "a b d c"], Shingling("words", 4))
    assert len(set(hashed.hashes.tolist())) == 3


def test_a_short_text_is_one_shingle_and_an_empty_one_none() -> None:
    hashed = hash_shingles(["two words", "", "one two three four five six"], Shingling("words", 5))
    np.testing.assert_array_equal(np.diff(hashed.starts), [1, 0, 2])


def test_a_short_text_is_not_the_text_that_repeats_its_words() -> None:
    assert (
        len(set(hash_shingles(["a", "a a", "a a a"], Shingling("words", 3)).hashes.tolist())) == 3
    )


def test_no_texts() -> None:
    assert hash_shingles([], Shingling("words", 5)).starts.tolist() == [0]


def test_hashes_are_the_same_on_every_machine() -> None:
    assert hash_shingles(["Write a poem."], Shingling("words", 3)).hashes.tolist() == [
        18215784253613555773
    ]


def characters(texts: list[str], n: int) -> list[set[int]]:
    hashed = hash_shingles(texts, Shingling("characters", n))
    return [hashed.of(row) for row in range(len(texts))]


@given(st.lists(st.text("ab c.", max_size=9), max_size=8), st.integers(1, 4))
def test_shingles_of_characters_are_one_to_one_with_their_hashes(texts: list[str], n: int) -> None:
    plain = [" ".join(text.split()) for text in texts]
    padded = [text + "\0" * (n - len(text)) * bool(text) for text in plain]
    expected = [{text[i : i + n] for i in range(len(text) - n + 1)} for text in padded]
    hashed = characters(texts, n)
    for i, one in enumerate(expected):
        assert len(hashed[i]) == len(one)
        for j, other in enumerate(expected):
            assert len(hashed[i] & hashed[j]) == len(one & other)


def test_characters_ignore_case_and_the_length_of_white_space_only() -> None:
    one, same, other = characters(["Say  yes.\n", "say YES.", "say yes!"], 3)
    assert one == same
    assert len(one & other) == 5
    composed, apart = characters(["caf\u00e9", "cafe\u0301"], 2)
    assert composed == apart


def test_short_texts_are_one_shingle_of_characters() -> None:
    assert [len(found) for found in characters(["ab", "", "abcdef"], 5)] == [1, 0, 2]
