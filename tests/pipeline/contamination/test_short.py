"""Short prompts: the same words, whatever the answer."""

import pytest

from pipeline.contamination.short import ShortMatcher, first_words
from pipeline.contamination.texts import Item, ItemMatch, RowBlock, TurnText

ITEMS = [
    Item(0, 1, "What is 7 - 2?", "5"),
    Item(0, 2, "Name the capital of Peru.", "Lima"),
    Item(0, 3, "one two three four five six", "seven"),
]


def find(*texts: str, role: str = "user") -> list[ItemMatch]:
    rows = [[TurnText(role, text), TurnText("assistant", "something else")] for text in texts]
    return ShortMatcher(ITEMS, 6).find(RowBlock([], rows, None))


def test_the_same_words_are_found_with_another_answer() -> None:
    (match,) = find("name THE capital of Peru")
    assert (match.item, match.matched, match.similarity) == (1, "prompt", 1.0)
    assert match.evidence == {
        "words": "name the capital of peru",
        "length": 5,
        "item_word": 0,
        "turn": 0,
        "role": "user",
        "turn_word": 0,
    }


@pytest.mark.parametrize(
    "text",
    [
        "What is 7 + 2?",
        "What is 8 - 2?",
        "Name the capital of Peru now.",
        "Name the capital of",
        "",
        "one two three four five six",
    ],
)
def test_other_words_signs_and_numbers_are_not(text: str) -> None:
    assert find(text) == []


def test_prompt_and_answer_in_one_turn_are_found() -> None:
    rows = [[TurnText("user", "What is 7 - 2? 5")]]
    matches = ShortMatcher(ITEMS, 7).find(RowBlock([], rows, None))
    assert [(m.item, m.matched) for m in matches] == [(0, "overlap")]


def test_an_answer_that_reads_like_the_prompt_is_no_prompt() -> None:
    assert find("Name the capital of Peru.", role="assistant") == []


def test_every_user_turn_is_read_and_an_item_is_told_once() -> None:
    turns = [TurnText("user", text) for text in ("Hello.", "What is 7 - 2", "what is 7 - 2?!")]
    matches = ShortMatcher(ITEMS, 6).find(RowBlock([], [turns], None))
    assert [(m.item, m.evidence["turn"]) for m in matches] == [(0, 1)]


def test_it_knows_which_items_are_short() -> None:
    checked = ShortMatcher(ITEMS, 6).checked
    assert checked["prompt"].tolist() == [True, True, False]
    assert checked["overlap"].tolist() == [False, False, False]
    assert checked["answer"].tolist() == [False, False, False]
    assert ShortMatcher(ITEMS, 8).checked["overlap"].tolist() == [True, True, True]


def test_a_long_text_is_read_only_as_far_as_needed() -> None:
    assert first_words("A b, c d " * 1000, 3) == ("a", "b", "c", "d")
    assert first_words("é b c d e " * 10, 3) == ("é", "b", "c", "d")
    assert first_words("?!", 3) == ("?!",)
