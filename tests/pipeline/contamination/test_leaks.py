"""Injected leaks: each kind changes what it says, and the draw is the items' own."""

import random
import re

import pytest

from pipeline.contamination.leaks import (
    KINDS,
    NO_ANSWER,
    Leak,
    another_number,
    change_numbers,
    make_leaks,
    reorder,
)
from pipeline.contamination.texts import Item, plain_words

LONG = "Ann has {} pears and buys {} more at the market. She eats two. How many are left for Bob?"
ITEMS = [Item(0, n, LONG.format(n + 10, n + 3), f"answer {n}") for n in range(30)]
ITEMS += [Item(0, 30, "Say hello", "Hello!"), Item(0, 31, "?!", "nothing")]


def leaks_of(kind: str, most: int = 100) -> list[Leak]:
    return [leak for leak in make_leaks(ITEMS, most, 13, 0) if leak.kind == kind]


def test_a_kind_is_made_of_the_items_it_can_be_made_of() -> None:
    counts = {kind: len(leaks_of(kind)) for kind in KINDS}
    assert counts == {
        "verbatim": 31,
        "other answer": 31,
        "short": 1,
        "reordered": 30,
        "changed numbers": 30,
    }


def test_only_the_verbatim_leak_has_its_own_answer() -> None:
    for leak in make_leaks(ITEMS, 100, 13, 0):
        own = leak.row[1].text == ITEMS[leak.item].answer
        assert own == (leak.kind == "verbatim"), leak
        assert [turn.role for turn in leak.row] == ["user", "assistant"]


def test_prompts_are_changed_as_the_kind_says() -> None:
    for leak in leaks_of("verbatim") + leaks_of("other answer") + leaks_of("short"):
        assert leak.row[0].text == ITEMS[leak.item].prompt
    for leak in leaks_of("reordered"):
        prompt, changed = ITEMS[leak.item].prompt, leak.row[0].text
        assert changed != prompt and sorted(plain_words(changed)) == sorted(plain_words(prompt))
    for leak in leaks_of("changed numbers"):
        prompt, changed = ITEMS[leak.item].prompt, leak.row[0].text
        numbers = zip(re.findall(r"\d+", prompt), re.findall(r"\d+", changed), strict=True)
        assert all(one != other for one, other in numbers)
        assert plain_words(prompt, "any") == plain_words(changed, "any")


def test_the_draw_follows_the_seed_and_not_the_order() -> None:
    def drawn(items: list[Item], seed: int) -> list[tuple[str, object]]:
        leaks = make_leaks(items, 5, 13, seed)
        assert max(sum(leak.kind == kind for leak in leaks) for kind in KINDS) == 5
        return [(items[leak.item].prompt, leak.row) for leak in leaks]

    assert drawn(ITEMS, 1) == drawn(ITEMS[::-1], 1) != drawn(ITEMS, 2)


def test_a_set_without_answers_has_some_other() -> None:
    leaks = make_leaks([Item(0, 1, "Say hello to the world.", "")], 9, 13, 0)
    assert [(leak.kind, [turn.text for turn in leak.row[1:]]) for leak in leaks] == [
        ("verbatim", []),
        ("other answer", [NO_ANSWER]),
        ("short", [NO_ANSWER]),
    ]
    assert make_leaks([], 9, 13, 0) == []


def test_what_cannot_be_changed_is_told() -> None:
    draw = random.Random(0)
    assert reorder("One sentence only.", draw) is None
    assert reorder("Same. Same.", draw) is None
    assert change_numbers("no number", draw) is None


@pytest.mark.parametrize("number", ["1", "9", "10", "1,234.50", "12345678"])
def test_another_number_is_another(number: str) -> None:
    draw = random.Random(0)
    assert number not in {another_number(number, draw) for _ in range(200)}
