"""Short prompts: the same words, whatever the answer."""

# ruff: noqa: RUF001  signs that look alike are what is tested

import pytest

from pipeline.contamination.short import ShortMatcher
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
    assert checked["overlap"].tolist() == [True, False, False]
    assert checked["answer"].tolist() == [False, False, False]
    assert ShortMatcher(ITEMS, 8).checked["overlap"].tolist() == [True, True, True]


def test_a_short_text_of_signs_alone_is_compared_as_it_is() -> None:
    matcher = ShortMatcher([Item(0, 1, "?! ...", "")], 5)
    turns = [TurnText("user", text) for text in ("?!  ...", "?!")]
    rows = [[turn] for turn in turns]
    assert [match.row for match in matcher.find(RowBlock([], rows, None))] == [0]


def test_signs_tell_short_problems_apart_and_do_not_make_them_long() -> None:
    """The items have 4, 4 and 3 words; the rows that are the same differ in dash, width or case."""
    items = [Item(0, n, f"What is {text}?", "") for n, text in enumerate(("8 × 4", "8 - 4", "C"))]
    texts = {
        "What is 8 ÷ 4?": [],
        "WHAT IS ８ × ４?": [0],
        "What is 8 − 4?": [1],
        "What is C#?": [],
    }
    rows = [[TurnText("user", text)] for text in texts]
    found = ShortMatcher(items, 5).find(RowBlock([], rows, None))
    assert [[m.item for m in found if m.row == n] for n in range(len(rows))] == list(texts.values())


def test_a_short_text_of_a_script_without_spaces_has_as_much_text() -> None:
    """13 words are 22.75 Han characters: 22 are short, 23 are not."""
    han = "".join(chr(0x4E00 + n) for n in range(23))
    for length, short in ((22, [True]), (23, [False])):
        matcher = ShortMatcher([Item(0, 1, han[:length], "")], 13)
        assert matcher.checked["prompt"].tolist() == short
