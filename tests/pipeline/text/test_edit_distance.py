"""The edit distance of texts, against the table that defines it."""

import random

import pytest

from pipeline.text.edit_distance import edit_distance, edit_similarity


def by_the_table(first: str, second: str) -> int:
    row: list[int] = [*range(len(second) + 1)]
    for i, one in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(second, start=1):
            before, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, before + (one != other)),
            )
    return row[-1]


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)],
)
def test_distances_by_hand(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance


def test_it_is_what_the_table_says_of_texts_shorter_and_longer_than_a_machine_word() -> None:
    draw = random.Random(0)
    for length in (1, 3, 20, 63, 64, 65, 130):
        for _ in range(12):
            first = "".join(draw.choices("abcß日", k=length))
            second = "".join(draw.choices("abcß日", k=draw.randrange(2 * length)))
            assert edit_distance(first, second) == by_the_table(first, second)


def test_similarity_is_of_the_longer_text() -> None:
    assert edit_similarity("", "") == edit_similarity("ab", "ab") == 1
    assert edit_similarity("ab", "cd") == 0
    assert edit_similarity("ab", "abcd") == edit_similarity("abcd", "ab") == 0.5
