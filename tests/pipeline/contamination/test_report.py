"""The report as a person reads it and as a program does."""

import json
from dataclasses import replace

from pipeline.contamination.report import (
    MOST_LINES,
    CheckReport,
    ContaminationHit,
    Recall,
    SetSummary,
    Unchecked,
    shortened,
)
from storage.contamination import SetCounts

EVIDENCE = {"words": "a b c", "turn": 0, "role": "user", "turn_word": 4}
RULES = ["13-grams, any", "short, the same words"]
CHECKED = {rule: {"prompt": 2, "answer": 0, "overlap": 1} for rule in RULES}
REPORT = CheckReport(
    action="flag",
    rows=7,
    rules=RULES,
    evaluations=[SetSummary("mine", "set.jsonl", "f00", 3, 2, CHECKED)],
    recall=[
        Recall("mine", "verbatim", 4, 3, {RULES[0]: 3, RULES[1]: 0}),
        Recall("mine", "short", 0, 0, {RULES[0]: 0, RULES[1]: 0}),
    ],
    counts={"mine": SetCounts(2, 1, 2)},
    hits=[
        ContaminationHit("r1", "mine", 1, "prompt", RULES[0], 1.0, EVIDENCE),
        ContaminationHit(
            "r1", "mine", 2, "prompt", "semantic", 0.91, {"row_text": "p|q", "item_text": "x\ny"}
        ),
    ],
    unchecked=[Unchecked("mine", 3, "unknown_shape", "keys: x")],
)


def test_every_part_is_on_the_page() -> None:
    page = REPORT.markdown
    for line in (
        "7 rows were compared; action: flag.",
        "| mine | 3 | 2 | 1 | 2 | 1 |",
        "| mine | 13-grams, any | 2 | 0 | 1 |",
        "| r1 | mine | 1 | prompt | 13-grams, any | 1.00 | a b c (turn 0, user, word 4) |",
        "| r1 | mine | 2 | prompt | semantic | 0.91 | p\\|q / x y |",
        "| mine | 3 | unknown_shape | keys: x |",
        "| mine | verbatim | 4 | 3 | 0.75 | 3 | 0 |",
        "| mine | short | 0 | 0 |  | 0 | 0 |",
    ):
        assert f"\n{line}\n" in page, line


def test_an_empty_check_says_so() -> None:
    page = replace(REPORT, hits=[], counts={}, unchecked=[], recall=[]).markdown
    assert page.count("\nNone.\n") == 2 and "Recall" not in page
    assert "| mine | 3 | 0 | 0 | 0 | 0 |" in page


def test_a_page_lists_so_many_and_counts_the_rest() -> None:
    many = replace(
        REPORT,
        hits=[REPORT.hits[0]] * (MOST_LINES + 5),
        counts={"mine": SetCounts(MOST_LINES + 5, 1, 1)},
        unchecked=[REPORT.unchecked[0]] * (MOST_LINES + 3),
    )
    assert many.markdown.count("| r1 |") == MOST_LINES
    assert "\nand 5 more\n" in many.markdown and "\nand 3 more\n" in many.markdown


def test_json_has_no_number_for_a_recall_that_could_not_be_had() -> None:
    told = json.loads(json.dumps(REPORT.as_json))
    assert [line["recall"] for line in told["recall"]] == [0.75, None]
    assert told["found"] == 2 and told["hits"][0]["evidence"] == EVIDENCE


def test_a_long_text_is_shown_as_its_beginning() -> None:
    assert shortened("abcdef", 3) == "abc…" and shortened("abc", 3) == "abc"
