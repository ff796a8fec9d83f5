import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.text.final_answer import final_answer, read_choice, read_number, same_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5 + 7 = <<5+7=12>>12 clips.\n#### 12", "12"),
        ("#### 3\nNo, I was wrong.\n#### 1,200", "1,200"),
        (r"so \boxed{3} and then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"an unclosed \boxed{4", "4"),  # nothing is boxed: the last number
        ("6 boxes of 4. The answer is 24. I am sure of 100 percent", "24"),
        ("The final answer is: **18**", "18"),
        ("Answer: B", "B"),
        ("A is too small and C too large.\n(b)", "B"),
        ("He has 3 apples and 4 pears, 7 in all", "7"),
        ("from 10-3 he gets 7, or -7", "-7"),
        ("It is 3/4", "3/4"),
        ("x = 5.", "5"),
        ("There is no number here", None),
        ("", None),
    ],
)
def test_the_answer_that_a_text_ends_on(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_a_marker_is_looked_after_alone() -> None:
    assert final_answer("Solution: 7\n#### 8", "Solution:") == "7"
    assert final_answer("#### 8", "Solution:") is None
    assert final_answer("8\nSolution:", "Solution:") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,200.50", Fraction(2401, 2)),
        ("3.0", Fraction(3)),
        ("-3/4", Fraction(-3, 4)),
        ("1 1/2", Fraction(3, 2)),
        ("50%", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("18 dollars", None),
        ("12,34", None),
        ("1/0", None),
        ("9" * 5000, None),  # a model that does not stop; int() would refuse it
    ],
)
def test_numbers_are_read_exactly(text: str, number: Fraction | None) -> None:
    assert read_number(text) == number


def test_units_count_unless_they_are_named() -> None:
    assert not same_answer("18 inches", "18 feet", ["inches"])
    assert not same_answer("18 inches", "18")
    assert same_answer("18 Inches", "18", ["inches"])
    assert same_answer("-$18", "-18", ["$"])
    assert same_answer("50%", "50", ["%"])
    assert not same_answer("50%", "50")


@pytest.mark.parametrize(
    ("given", "trusted"),
    [
        ("0.75", "3/4"),
        ("(B)", "b"),
        ("B) the second", "B"),
        ("Paris.", "paris"),
        (r"\frac{3}{4}", "0.75"),
        (r"x^2+2x+1", r"(x+1)^2"),
        (r"2\sqrt{2}", r"\sqrt{8}"),
    ],
)
def test_the_same_answer_in_other_words(given: str, trusted: str) -> None:
    assert same_answer(given, trusted)


@pytest.mark.parametrize(
    ("given", "trusted"),
    [
        ("0.333", "1/3"),
        ("A", "B"),
        ("Paris", "London"),
        (r"x^2", r"x^3"),
        (r"9^{9^{9^9}}", r"\frac{1}{2}"),  # would be written out for ever
        ("B", "2"),
    ],
)
def test_other_answers(given: str, trusted: str) -> None:
    assert not same_answer(given, trusted)


def test_a_word_is_no_choice() -> None:
    assert read_choice("Bob") is None
    assert read_choice("A long way") is None
    assert read_choice("C. the third") == "C"


SOLUTIONS = Path(os.environ.get("SLUICE_REAL_DATA", "")) / "gsm8k" / "model_solutions_660.jsonl"


@pytest.mark.skipif(
    "SLUICE_REAL_DATA" not in os.environ or not SOLUTIONS.exists(),
    reason="SLUICE_REAL_DATA names no folder with gsm8k/model_solutions_660.jsonl",
)
def test_agrees_with_those_who_marked_2640_solutions() -> None:
    agreed = []
    for line in SOLUTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        trusted = final_answer(row["ground_truth"])
        assert trusted is not None
        for told in row.values():
            if isinstance(told, dict):
                answer = final_answer(told["solution"])
                right = answer is not None and same_answer(answer, trusted)
                agreed.append(right == told["is_correct"])
    assert len(agreed) == 2640
    assert sum(agreed) / len(agreed) >= 0.98
