"""All rules together: which hits, what could not be checked, and the recall."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.contamination.evaluations import read_evaluations
from pipeline.contamination.recall import measure_recall
from pipeline.contamination.report import Recall
from pipeline.contamination.search import ItemSearch, all_items, summarise_sets, text_matchers
from pipeline.contamination.settings import CheckSettings
from pipeline.contamination.texts import RowBlock, TurnText

LONG = (
    "A farmer from {} sells {} boxes of apples every week and keeps the rest for winter. "
    "His neighbour {} buys {} boxes of them on the market. How many boxes does the farmer keep?"
)
TOWNS = ("Ulm", "Graz", "Bern", "Nice", "Oslo", "Riga", "Turku", "Porto")
ROWS = [
    {"prompt": LONG.format(town, n + 20, TOWNS[n - 1], n + 5), "completion": f"It is {n}."}
    for n, town in enumerate(TOWNS)
]
ROWS += [{"prompt": "Name a prime.", "completion": "7"}, {"prompt": "   ", "completion": "x"}]


def search(folder: Path, rows: list[Any], **settings: object) -> tuple[ItemSearch, CheckSettings]:
    file = folder / "set.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    check = CheckSettings.model_validate({"against": [{"path": str(file)}], **settings})
    evaluations = read_evaluations(check.against)
    items = all_items(evaluations)
    return ItemSearch(evaluations, items, text_matchers(check, items)), check


def test_hits_have_names_that_last_and_come_in_order(tmp_path: Path) -> None:
    both, _ = search(tmp_path, ROWS, ngrams={"shared_by": 4})
    rows = [
        [TurnText("user", ROWS[3]["prompt"])],
        [TurnText("user", "name a prime"), TurnText("assistant", ROWS[0]["prompt"])],
    ]
    hits = list(both.find([RowBlock(["x", "y"], rows, None)]))
    assert [(h.row, h.evaluation, h.item, h.matched, h.rule) for h in hits] == [
        ("x", "set", 4, "prompt", "13-grams, any"),
        ("y", "set", 1, "prompt", "13-grams, any"),
        ("y", "set", 9, "prompt", "short, the same words"),
    ]


def test_items_that_no_rule_can_see_are_listed_with_why(tmp_path: Path) -> None:
    rows = [*ROWS, {"x": 1}]
    seen, _ = search(tmp_path, rows)
    listed = [(row.evaluation, row.item, row.reason) for row in seen.unchecked()]
    assert listed == [("set", 10, "empty_prompt"), ("set", 11, "unknown_shape")]
    blind, _ = search(tmp_path, rows, short=False)
    assert next((row.item, row.reason) for row in blind.unchecked()) == (9, "too_short")
    template = [{"prompt": "one two three four five"}] * 3
    shared, _ = search(tmp_path, template, short=False, ngrams={"words": 3, "shared_by": 2})
    assert {"too many items of its set share" in row.detail for row in shared.unchecked()} == {True}
    assert len(shared.unchecked()) == 3


def test_a_summary_says_what_each_rule_can_see(tmp_path: Path) -> None:
    both, _ = search(tmp_path, ROWS)
    (summary,) = summarise_sets(both)
    assert (summary.name, summary.rows, summary.items) == ("set", 10, 9)
    assert summary.checked["13-grams, any"] == {"prompt": 8, "answer": 0, "overlap": 8}
    assert summary.checked["short, the same words"] == {"prompt": 1, "answer": 0, "overlap": 1}


def test_recall_is_of_the_very_rules(tmp_path: Path) -> None:
    both, check = search(tmp_path, ROWS, ngrams={"words": 8})
    recall = {r.kind: r for r in measure_recall(both, 50, check.short_words, 0)}
    shares = {kind: (line.leaks, line.share) for kind, line in recall.items()}
    assert shares["verbatim"] == shares["other answer"] == (9, 1.0)
    assert shares["short"] == (1, 1.0)
    assert shares["reordered"] == (8, 1.0)
    assert recall["short"].by_rule == {"8-grams, any": 0, "short, the same words": 1}
    blind, check = search(tmp_path, ROWS, short=False, ngrams={"words": 30})
    recall = {r.kind: r for r in measure_recall(blind, 50, check.short_words, 0)}
    assert recall["verbatim"].found == 8  # the short one is not seen
    assert recall["changed numbers"].found == 0


def test_looking_past_numbers_finds_changed_ones(tmp_path: Path) -> None:
    kind = "changed numbers"
    settings: dict[str, Any] = {"words": 20, "numbers": "any"}
    for numbers, found in (("any", 8), ("exact", 0)):
        rules, check = search(tmp_path, ROWS, ngrams=[settings | {"numbers": numbers}])
        lines = measure_recall(rules, 50, check.short_words, 0)
        assert [line.found for line in lines if line.kind == kind] == [found]


def test_a_leak_that_is_found_with_another_item_only_is_not_found(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Sum up {name}.", "completion": LONG.format(name, n, name[::-1], n + 9)}
        for n, name in enumerate(TOWNS)
    ]
    rules, check = search(tmp_path, rows, short=False, ngrams={"words": 14, "compare": ["answer"]})
    lines = {line.kind: line.found for line in measure_recall(rules, 50, check.short_words, 0)}
    assert lines["verbatim"] == 8
    # the answer is that of another item, and the prompts are not compared: the own item is missed
    rules, check = search(tmp_path, [*rows[:1], ROWS[8]], short=False)
    lines = {line.kind: line.found for line in measure_recall(rules, 50, check.short_words, 0)}
    assert lines["other answer"] == 0 and lines["verbatim"] == 1


def test_recall_of_what_cannot_be_made_is_no_number(tmp_path: Path) -> None:
    rules, check = search(tmp_path, [{"prompt": "Name a prime.", "completion": "7"}])
    lines = {line.kind: line for line in measure_recall(rules, 50, check.short_words, 0)}
    assert lines["reordered"] == Recall(
        "set", "reordered", 0, 0, {"13-grams, any": 0, "short, the same words": 0}
    )
    assert lines["reordered"].share is None
    assert measure_recall(rules, 0, check.short_words, 0) == []


def test_the_items_of_a_second_set_are_told_apart(tmp_path: Path) -> None:
    other = "Ten ships left the harbour at dawn, and only three of them came back by night."
    for name, row in (("one", ROWS[0]), ("two", {"prompt": other, "completion": "Seven."})):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    against = [{"path": str(tmp_path / f"{name}.jsonl")} for name in ("one", "two")]
    check = CheckSettings.model_validate({"against": against, "ngrams": {"words": 8}})
    evaluations = read_evaluations(check.against)
    items = all_items(evaluations)
    rules = ItemSearch(evaluations, items, text_matchers(check, items))
    lines = measure_recall(rules, 50, check.short_words, 0)
    assert {(each.evaluation, each.found) for each in lines if each.kind == "verbatim"} == {
        ("one", 1),
        ("two", 1),
    }


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        (None, []),
        ({"words": 5}, ["5-grams, any"]),
        ({"rule": "coverage"}, ["13-grams, coverage 0.5"]),
        (
            [{"words": 8, "rule": "coverage", "threshold": 0.7, "numbers": "any"}, {}],
            ["8-grams, coverage 0.7, any numbers", "13-grams, any"],
        ),
    ],
)
def test_rules_are_given_alone_or_as_a_list(given: object, rules: list[str]) -> None:
    check = CheckSettings.model_validate({"against": [{"path": "x"}], "ngrams": given})
    assert [block.matching.name for block in check.ngrams] == rules
    assert CheckSettings.model_validate(check.model_dump()) == check
