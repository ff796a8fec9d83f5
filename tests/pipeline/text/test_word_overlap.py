"""ROUGE-L: its orientation, its arithmetic, and the shortcut that changes none of it."""

import random
from functools import cache

import pytest

from pipeline.text.word_overlap import common_words, is_near_any, overlap_of


def test_precision_is_of_the_candidate_and_recall_of_the_reference() -> None:
    # the longest common subsequence is "a b": 2 of 2, 2 of 4, and 2 * 2 / (2 + 4)
    found = overlap_of(["a", "b"], ["a", "b", "c", "d"])
    assert found[:2] == (1.0, 0.5) and found.f == pytest.approx(0.667, abs=1e-3)
    assert overlap_of(["a", "b", "c", "d"], ["a", "b"])[:2] == (0.5, 1.0)
    assert overlap_of([], ["a"]) == overlap_of(["a"], []) == (0, 0, 0)


def test_the_bound_itself_is_not_near() -> None:
    # 8 of 10 words in order, though all 10 are the same: F = 16 / 20
    words, other = [*"abcdefgjih"], [*"abcdefghij"]
    assert not is_near_any(words, [other], 0.8) and is_near_any(words, [other], 0.79)


def plain(first: list[str], second: list[str]) -> int:
    @cache
    def longest(i: int, j: int) -> int:
        if not i or not j:
            return 0
        if first[i - 1] == second[j - 1]:
            return 1 + longest(i - 1, j - 1)
        return max(longest(i - 1, j), longest(i, j - 1))

    return longest(len(first), len(second))


def test_it_is_the_longest_common_subsequence_and_the_shortcut_skips_none() -> None:
    draw = random.Random(3)
    texts = [draw.choices("abcde", k=draw.randrange(14)) for _ in range(40)]
    for first in texts:
        for second in texts:
            assert common_words(first, second) == plain(first, second)
        near = [overlap_of(first, each).f > 0.6 for each in texts]
        assert is_near_any(first, texts, 0.6) == any(near)
