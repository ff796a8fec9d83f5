import pytest

from pipeline.text.founded_numbers import find_unfounded, worded_numbers
from scorers.words import split_words

PROBLEM = "A colony of ten thousand bees grows by 1,200 bees a day for thirty-five days; 20% swarm."


@pytest.mark.parametrize(
    ("solution", "unfounded"),
    [
        ("It has 10,000 bees, and 1200 come each day.", ""),
        ("35 days * 1,200 = 42,000, and with the first 10,000 there are 52,000.", ""),
        ("There are 52,000 in the end.", "52,000"),  # 42,000 was not written before
        ("42000 come, so 52,000.", ""),
        ("42001 come.", "42001"),
        ("A day brings 12% more.", ""),  # 1,200 of 10,000
        ("A day brings 13% more.", "13%"),
        ("20 per cent are 2,000 of the first, which leaves 8,000.", ""),
        ("1200 in 35 days is 34.29 a day for each.", ""),  # 1200 / 35 = 34.2857…
        ("1200 in 35 days is 34.3.", ""),
        ("1200 in 35 days is 34.2.", "34.2"),
        ("1200 in 35 days is 34.", "34"),  # a whole number is not rounded
        ("1. Take 35.\n2) Take 1,200.\nStep 3: 42,000.", ""),
        ("Nothing is counted.", ""),
        ("Ten bees are as many as 10 bees.", "10"),  # ten thousand is not ten
    ],
)
def test_a_number_stands_in_the_problem_or_comes_of_two_before_it(
    solution: str, unfounded: str
) -> None:
    assert find_unfounded(solution, PROBLEM) == unfounded


@pytest.mark.parametrize(
    ("problem", "solution", "unfounded"),
    [
        ("3 of 12", "3/12 is 25 per cent.", ""),
        ("3 of 12", "3/12 is 26 per cent.", "26"),
        ("a share of 20%", "20 per cent, or 0.2.", ""),
        ("a share of 20%", "0.7 of it", "0.7"),
        ("at -7 degrees", "7 degrees of frost", ""),
        ("at -7 degrees", "8 degrees of frost", "8"),
        ("some", "7. Take it.\n9) Give it.\nStep 13: rest.", ""),
        ("some", "Take 3 of them.", "3"),
    ],
)
def test_what_is_no_amount_and_what_amounts_may_be_meant(
    problem: str, solution: str, unfounded: str
) -> None:
    assert find_unfounded(solution, problem) == unfounded


def test_nothing_follows_from_no_number_but_a_hundred_and_nothing_is_divided_by_zero() -> None:
    assert find_unfounded("7 of 8", "some") == "7"
    assert find_unfounded("0 of them", "none of 0") == ""
    assert find_unfounded("9" * 5000, "9") == "9" * 5000


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("thirty five", [35]),
        ("ten thousand bees and two", [10_000, 2]),
        ("a thousand", [1000]),
        ("two hundred thousand", [200_000]),
        ("half of a dozen", [2, 12]),
        ("one thousand two hundred five", [1205]),
        ("two million, three", [2_000_003]),
        ("zero", [0]),
        ("none", []),
    ],
)
def test_words_in_a_row_are_one_number(text: str, numbers: list[int]) -> None:
    assert [*worded_numbers(split_words(text))] == numbers
