"""Faults are planted as said, and what a score finds of them is counted right."""

import random

import numpy as np
import pytest

from benchmarks.planted_faults import ROWS, another_sum, cut, plant
from benchmarks.which_score import above_bound, auroc, finds, wilson

PAIRS = [(f"Question {at}?", f"One two three four {at}.\n#### {at}") for at in range(900)]


def test_each_fault_is_in_a_row_of_its_own_and_the_others_are_as_they_were() -> None:
    rows = plant(PAIRS, "gsm8k")
    answers = dict(PAIRS)
    assert len({row.prompt for row in rows}) == len(rows) == ROWS
    counts = {kind: sum(row.fault == kind for row in rows) for kind in {r.fault for r in rows}}
    assert counts == {"": 408, "shuffled": 60, "cut_off": 36, "other_language": 36, "wrong_sum": 60}
    for row in rows:
        assert (row.answer == answers[row.prompt]) == (row.fault == "")
    shuffled = [row for row in rows if row.fault == "shuffled"]
    assert {row.answer for row in shuffled} == {answers[row.prompt] for row in shuffled}
    assert plant(PAIRS, "gsm8k") == rows and plant(PAIRS, "dolly") != rows


def test_what_is_done_to_an_answer() -> None:
    draw = random.Random(0)
    for _ in range(20):
        short = cut("One two three four five six seven eight nine ten.", draw).split()
        assert 4 <= len(short) <= 8
        assert another_sum("It is 1,200.\n#### 1,200", draw) != "It is 1,200.\n#### 1200"
        assert another_sum("It is 1.\n#### 1", draw) in ("It is 1.\n#### 0", "It is 1.\n#### 2")


def test_the_area_counts_ties_as_half() -> None:
    # of 3 x 2 pairs: 3 > 1, 3 > 2, 2 > 1, 2 = 2, 0 loses twice
    assert auroc(np.array([3.0, 2.0, 0.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 6)


def test_recall_and_false_alarms_at_the_end_where_the_fault_stands() -> None:
    values = np.arange(100.0)
    faulty, clean = values < 8, (values >= 8) & (values < 90)  # the rest has another fault
    found = finds(values, faulty, clean)
    assert found["end"] == "lowest" and found["auroc"] == [0.0, 0.0, 0.0]
    assert found["5%"]["recall"][0] == 5 / 8 and found["5%"]["false_alarms"][0] == 0
    assert found["10%"]["recall"][0] == 1 and found["10%"]["false_alarms"][0] == 2 / 82
    other = finds(-values, faulty, clean)
    assert other["end"] == "highest" and other["10%"] == found["10%"]


def test_what_is_above_a_bound() -> None:
    values = np.array([0.5, 1.0, 1.5, 2.0, np.nan])
    faulty = np.array([False, False, True, False, True])
    found = above_bound(1.0, values, faulty, ~faulty)["above 1"]
    assert (found["recall"][0], found["false_alarms"][0]) == (1 / 2, 1 / 3)
    assert above_bound(np.inf, values, faulty, ~faulty) == {}


def test_rows_without_a_score_are_not_found() -> None:
    values = np.array([np.nan, 9.0, *np.arange(18.0) / 10])
    faulty = np.arange(20) < 2
    found = finds(values, faulty, ~faulty)
    assert found["without"] == 1 and found["10%"]["recall"][0] == 0.5
    assert finds(np.full(20, np.nan), faulty, ~faulty)["auroc"] is None


def test_the_interval_of_a_share() -> None:
    # Wilson 1927 for 50 of 60
    assert wilson(50, 60) == pytest.approx([0.8333, 0.7197, 0.9069], abs=1e-3)
    assert wilson(0, 36)[1] == 0 and wilson(36, 36)[2] == 1
