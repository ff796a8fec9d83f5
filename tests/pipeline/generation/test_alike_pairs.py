"""Which pairs of texts are one: the most alike, as many as a share, and always the same ones."""

from itertools import permutations

import pytest

from pipeline.generation.alike_pairs import first_of_alike

ITEMS = [("aaaa", "1111"), ("aaab", "1111"), ("zzzz", "2222"), ("aabb", "1111")]
"""S: 0-1 and 1-3 have 0.75, 0-3 has 0.5, and those with 2 have 0."""


@pytest.mark.parametrize(
    ("share", "stays"),
    [
        (0, [0, 1, 2, 3]),
        (0.24, [0, 1, 2, 3]),
        (0.25, [0, 0, 2, 3]),  # one pair: of the two equal ones the first
        (0.5, [0, 0, 2, 0]),  # 3 hangs on 0 by 1
        (1, [0, 0, 2, 0]),  # what has nothing in common is never merged
    ],
)
def test_as_many_pairs_are_merged_as_the_share_says(share: float, stays: list[int]) -> None:
    assert first_of_alike(ITEMS, share) == stays


def test_the_same_item_is_one_whatever_the_share() -> None:
    assert first_of_alike([("a", "b"), ("a", "c"), ("a", "b")], 0) == [0, 1, 0]
    assert first_of_alike([], 0.5) == [] and first_of_alike([("", "")], 0.5) == [0]


def test_what_is_merged_does_not_depend_on_the_order() -> None:
    for order in permutations(range(4)):
        stays = first_of_alike([ITEMS[at] for at in order], 0.5)
        together = {
            frozenset(at for at, to in zip(order, stays, strict=True) if to == n) for n in stays
        }
        assert together == {frozenset({0, 1, 3}), frozenset({2})}


def test_both_texts_count() -> None:
    assert first_of_alike([("same", "xxxx"), ("same", "yyyy")], 1) == [0, 1]
