"""Shared n-grams: what matches, how much of it, and that the evidence holds in both texts."""

# ruff: noqa: RUF001  signs that look alike are what is tested

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.contamination import ngrams
from pipeline.contamination.ngrams import NGramMatcher, NGramRule
from pipeline.contamination.texts import (
    Item,
    ItemMatch,
    Matched,
    RowBlock,
    RowTurns,
    TurnText,
    plain_words,
)
from pipeline.contamination.windows import WordIds
from pipeline.text.shingles import Hashes
from scorers.arrays import Ints

PROMPT = "a b c d e f g h"
ANSWER = "p q r s t u"
ITEM = Item(0, 1, PROMPT, ANSWER)
THREE = NGramRule(words=3)


def row(*texts: str) -> RowTurns:
    """Turns of user and assistant in turn."""
    return [TurnText(("user", "assistant")[n % 2], text) for n, text in enumerate(texts)]


def find(
    rows: Sequence[RowTurns], rule: NGramRule = THREE, items: Sequence[Item] = (ITEM,)
) -> list[ItemMatch]:
    return NGramMatcher(items, rule).find(RowBlock([str(n) for n in range(len(rows))], rows, None))


def parts(matches: Sequence[ItemMatch]) -> list[str]:
    return sorted(match.matched for match in matches)


def test_one_shared_ngram_is_a_match_and_two_words_are_none() -> None:
    (match,) = find([row("x c d e y"), row("x c d y e")])
    assert (match.row, match.item, match.matched) == (0, 0, "prompt")
    # 3 of the 8 words of the prompt
    assert match.similarity == 3 / 8
    assert match.evidence == {
        "words": "c d e",
        "length": 3,
        "item_word": 2,
        "turn": 0,
        "role": "user",
        "turn_word": 1,
        "ngrams": 1,
        "of_ngrams": 6,
    }


def test_prompt_answer_and_overlap_are_matched_separately() -> None:
    assert parts(find([row(PROMPT, "z")])) == ["prompt"]
    assert parts(find([row("z", ANSWER)])) == ["answer"]
    assert parts(find([row("z g h p z")])) == ["overlap"]
    assert parts(find([row(PROMPT, ANSWER)])) == ["answer", "overlap", "prompt"]


@pytest.mark.parametrize("part", ["prompt", "answer", "overlap"])
def test_only_the_parts_asked_for_are_compared(part: Matched) -> None:
    assert parts(find([row(PROMPT, ANSWER)], NGramRule(words=3, compare=(part,)))) == [part]


def test_a_row_is_searched_in_every_turn() -> None:
    matches = find(
        [row("z", "z", PROMPT, ANSWER), [TurnText("system", f"So: {PROMPT}"), *row("z")]]
    )
    places = [(m.row, m.matched, m.evidence["turn"], m.evidence["role"]) for m in matches]
    assert places == [
        (0, "prompt", 2, "user"),
        (0, "answer", 3, "assistant"),
        (0, "overlap", 2, "user"),
        (1, "prompt", 0, "system"),
    ]


def test_no_ngram_goes_from_one_row_into_the_next() -> None:
    assert find([row("a b"), row("c d")]) == []


def test_coverage_needs_its_share_and_counts_words_once() -> None:
    rule = NGramRule(words=3, threshold=0.5, compare=("prompt",))
    # a b c and b c d cover four words of eight, a b c twice only three
    assert [m.similarity for m in find([row("a b c d z"), row("a b c z a b c")], rule)] == [0.5]
    # words between two n-grams are not covered: a b c and f g h are six of eight
    assert [m.similarity for m in find([row("a b c z f g h")], rule)] == [6 / 8]
    assert find([row("a b c d z")], NGramRule(words=3, threshold=0.51, compare=("prompt",))) == []


def test_the_share_of_an_overlap_is_of_the_words_that_cross() -> None:
    (match,) = find([row("g h p q")], NGramRule(words=3, compare=("overlap",)))
    # g h p and h p q are all the 3-grams that cross
    assert match.similarity == 1 and match.evidence["of_ngrams"] == 2


def test_case_punctuation_and_composition_do_not_matter_numbers_do() -> None:
    items = [Item(0, 1, "The café has 3 tables, and 4 chairs.", "")]
    rule = NGramRule(words=8)
    assert len(find([row("the CAFE\u0301 has 3 tables and 4 chairs")], rule, items)) == 1
    assert find([row("the café has 5 tables and 4 chairs")], rule, items) == []
    any_number = NGramRule(words=8, numbers="any")
    assert len(find([row("the café has 5 tables and 1,234 chairs")], any_number, items)) == 1


def random_rows(seed: int, count: int) -> list[RowTurns]:
    draw = random.Random(seed)
    texts = [" ".join(draw.choices("abcdefg", k=draw.randint(0, 12))) for _ in range(2 * count)]
    return [row(texts[2 * n], texts[2 * n + 1]) for n in range(count)]


def as_items(rows: Sequence[RowTurns]) -> list[Item]:
    return [Item(0, n, prompt.text, answer.text) for n, (prompt, answer) in enumerate(rows)]


def test_it_finds_the_pairs_that_a_plain_comparison_finds() -> None:
    rows, items = random_rows(0, 60), as_items(random_rows(1, 30))

    def grams(texts: Sequence[str]) -> set[tuple[str, ...]]:
        words = [word for text in texts for word in plain_words(text)]
        return {tuple(words[n : n + 4]) for n in range(len(words) - 3)}

    rule = NGramRule(words=4, shared_by=1000)
    found = {(match.row, match.item) for match in find(rows, rule, items)}
    truth = {
        (i, j)
        for i, turns in enumerate(rows)
        for j, item in enumerate(items)
        if grams([turn.text for turn in turns]) & grams([item.prompt, item.answer])
    }
    assert found == truth and len(truth) > 20


def test_evidence_is_in_both_texts() -> None:
    rows, items = random_rows(2, 60), as_items(random_rows(3, 30))
    matches = find(rows, NGramRule(words=4, shared_by=1000), items)
    assert len(matches) > 20
    for match in matches:
        told, item = match.evidence, items[match.item]
        words = told["words"].split()
        of_item = plain_words(item.prompt) + plain_words(item.answer)
        turns = [word for t in rows[match.row][told["turn"] :] for word in plain_words(t.text)]
        assert of_item[told["item_word"] : told["item_word"] + told["length"]] == words
        assert turns[told["turn_word"] : told["turn_word"] + told["length"]] == words
        assert rows[match.row][told["turn"]].role == told["role"]


def test_the_evidence_is_the_longest_run() -> None:
    (match,) = find([row("a b c z b c d e f z")], NGramRule(words=3, compare=("prompt",)))
    assert match.evidence["words"] == "b c d e f" and match.evidence["ngrams"] == 4
    assert match.similarity == 6 / 8


def test_order_of_rows_and_size_of_blocks_change_nothing() -> None:
    rows, items = random_rows(4, 50), as_items(random_rows(5, 20))
    matcher = NGramMatcher(items, NGramRule(words=3, threshold=0.4, shared_by=1000))

    def told(order: Sequence[int], size: int) -> list[tuple[object, ...]]:
        found = []
        for start in range(0, len(order), size):
            places = order[start : start + size]
            block = RowBlock([str(p) for p in places], [rows[p] for p in places], None)
            found += [
                (places[m.row], m.item, m.matched, m.similarity, sorted(m.evidence.items()))
                for m in matcher.find(block)
            ]
        return sorted(found, key=str)

    order = list(range(50))
    whole = told(order, 50)
    assert len(whole) > 10
    assert whole == told(order, 7) == told(order[::-1], 50) == told(order[::-1], 1)


def test_words_decide_and_not_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, items = random_rows(6, 40), as_items(random_rows(7, 15))
    rule = NGramRule(words=4, shared_by=1000)
    expected = find(rows, rule, items)

    def colliding(ids: WordIds, begins: Ints, ends: Ints) -> Hashes:
        return np.zeros(len(begins), dtype=np.uint64)

    monkeypatch.setattr(ngrams, "hash_windows", colliding)
    collided = find(rows, rule, items)
    assert {(m.row, m.item) for m in collided} <= {(m.row, m.item) for m in expected}


def test_the_wording_that_a_set_shares_is_no_evidence() -> None:
    template = "solve the following problem step by step"
    words = [f"x{n} y{n} z{n}" for n in range(5)]
    items = [Item(0, n, f"{template} {text}", "") for n, text in enumerate(words)]
    rows = [row(f"{template} now"), row(f"{template} x2 y2 z2")]
    assert len(find(rows, NGramRule(words=3, shared_by=5), items)) == 10
    (match,) = find(rows, NGramRule(words=3, shared_by=4), items)
    assert (match.row, match.item) == (1, 2)
    matcher = NGramMatcher([*items, Item(0, 9, template, "")], NGramRule(words=3, shared_by=4))
    assert matcher.template_ngrams == 5
    assert matcher.checked["prompt"].tolist() == [True] * 5 + [False]


def test_what_is_shared_is_counted_set_by_set() -> None:
    items = [Item(n, 1, "one two three four", "") for n in range(3)]
    assert len(find([row("one two three")], NGramRule(words=3, shared_by=1), items)) == 3


def test_it_knows_which_parts_it_can_see() -> None:
    items = [ITEM, Item(0, 2, "a b", "c"), Item(0, 3, "a b", ""), Item(0, 4, "", "a b c")]
    checked = NGramMatcher(items, THREE).checked
    assert checked["prompt"].tolist() == [True, False, False, False]
    assert checked["answer"].tolist() == [True, False, False, True]
    assert checked["overlap"].tolist() == [True, True, False, False]


@pytest.mark.parametrize("rows", [[], [row("")], [row("a b")], [[]]])
def test_nothing_to_find(rows: list[RowTurns]) -> None:
    assert find(rows) == []
    assert find(rows, THREE, []) == []


def test_repeated_words_do_not_multiply() -> None:
    items = [Item(0, 1, "ha " * 2000, "")]
    (match,) = find([row("ha " * 2000)], NGramRule(words=3), items)
    assert match.similarity == 1 and match.evidence["words"] == "ha ha ha"


@pytest.mark.parametrize(
    "rule", [NGramRule(words=0), NGramRule(shared_by=0), NGramRule(threshold=0.0)]
)
def test_a_rule_out_of_range_is_refused(rule: NGramRule) -> None:
    with pytest.raises(ValueError, match=r"must be 1 or more|above 0 and at most 1"):
        NGramMatcher([ITEM], rule)


def test_the_eleven_pairs_of_gsm8k() -> None:
    folder = Path(os.environ.get("SLUICE_REAL_DATA", "none")) / "gsm8k"
    if not folder.exists():
        pytest.skip("SLUICE_REAL_DATA names no folder with gsm8k/train.jsonl and test.jsonl")
    train, test = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()]
        for name in ("train", "test")
    )
    items = [Item(0, n, each["question"], each["answer"]) for n, each in enumerate(test, 1)]
    rows = [row(each["question"], each["answer"]) for each in train]
    found = sorted((m.row + 1, m.item + 1, m.matched) for m in find(rows, NGramRule(), items))
    assert found == [
        (21, 633, "prompt"),
        (407, 582, "prompt"),
        (700, 807, "answer"),
        (1315, 603, "prompt"),
        (2050, 213, "answer"),
        (5004, 19, "answer"),
        (5163, 603, "prompt"),
        (5259, 1142, "answer"),
        (5457, 705, "answer"),
        (6842, 713, "answer"),
        (6911, 894, "overlap"),
    ]


def test_signs_tell_ngrams_apart_and_are_no_words_of_their_length() -> None:
    """The item has five words: one 5-gram, which begins at a and holds the sign."""
    items = [Item(0, 1, "a b 8 × 4 c", "")]
    rows = [row(f"z a b 8 {sign} 4 c") for sign in ("×", "÷", "")]
    (match,) = find(rows, NGramRule(words=5), items)
    assert (match.row, match.similarity) == (0, 1.0)
    assert match.evidence == {
        "words": "a b 8 × 4 c",
        "length": 5,
        "item_word": 0,
        "turn": 0,
        "role": "user",
        "turn_word": 1,
        "ngrams": 1,
        "of_ngrams": 1,
    }
    assert find(rows, NGramRule(words=6), items) == []


@pytest.mark.parametrize(
    ("first", "characters"),
    [(0x4E00, 23), (0x3042, 52), (0x0E01, 65), (0x1000, 78), (0x1780, 78)],
    ids=["Han", "kana", "Thai", "Burmese", "Khmer"],
)
def test_thirteen_words_are_as_much_text_in_every_script(first: int, characters: int) -> None:
    """13 words at 4/7, 1/4, 1/5 and 1/6 of a word each: 22.75, 52, 65 and 78 characters."""
    text = "".join(chr(first + n % 31) for n in range(characters))
    items = [Item(0, 1, f"{text}", "")]
    assert len(find([row(f"hm {text} hm")], NGramRule(), items)) == 1
    assert find([row(f"hm {text[:-1]}")], NGramRule(), items) == []
    assert find([row(text)], NGramRule(), [Item(0, 1, text[1:], "")]) == []


def test_a_word_or_a_name_of_many_characters_is_no_copy() -> None:
    shared = [
        "インターネットサービスプロバイダー",  # 3 words of English
        "นักเรียนคนหนึ่ง",  # 2
        "中华人民共和国国务院办公",  # 8
        "អង្គការសហប្រជាជាតិ",  # 2
        "ဒီမိုကရေစီနိုင်ငံတော်",  # 3
    ]
    items = [Item(0, n, f"{name}, {n}{n} one two", "") for n, name in enumerate(shared)]
    assert find([row(f"three {name} four") for name in shared], NGramRule(), items) == []


def test_coverage_weighs_characters_and_words_alike() -> None:
    """7 Han characters are 4 words; with 4 words of Latin script they are half of 8."""
    items = [Item(0, 1, "一二三四五六七 a b c d", "")]
    rule = NGramRule(words=4, threshold=0.5, compare=("prompt",))
    assert [
        m.similarity for m in find([row("x 一二三四五六七 y"), row("a b c d")], rule, items)
    ] == [
        0.5,
        0.5,
    ]
