import pytest

from pipeline.generation.verifiers.majority import Majority
from tests.pipeline.generation.verifiers.given import faults, row

PROMPT = row("6 * 7?")


def majority(**fields: object) -> Majority:
    return Majority.model_validate({"method": "majority", **fields})


def test_what_most_answers_end_on_is_right_however_it_is_written() -> None:
    answers = ["so 42", "#### 42.0", "it is 41", "no idea", "#### 42 km"]
    assert faults(majority(), PROMPT, *answers) == [
        "",
        "",
        "not_of_majority",
        "no_answer",
        "not_of_majority",
    ]
    assert faults(majority(units=["km"]), PROMPT, *answers)[-1] == ""


@pytest.mark.parametrize(
    ("least", "answers", "told"),
    [
        (0.5, ["1", "1", "2", "3"], ["", "", "not_of_majority", "not_of_majority"]),
        (0.6, ["1", "1", "2", "3"], ["no_majority"] * 4),
        (0.1, ["1", "2"], ["no_majority"] * 2),
        (1.0, ["1", "1", "none"], ["", "", "no_answer"]),
        (0.5, ["none"], ["no_answer"]),
    ],
)
def test_the_share_is_of_answers_that_have_one_and_a_tie_has_no_majority(
    least: float, answers: list[str], told: list[str]
) -> None:
    assert faults(majority(least=least), PROMPT, *answers) == told


def test_the_order_of_answers_changes_nothing() -> None:
    answers = ["1/2", "0.5", "50%", "7"]
    told = dict(zip(answers, faults(majority(), PROMPT, *answers), strict=True))
    turned = answers[::-1]
    assert told == dict(zip(turned, faults(majority(), PROMPT, *turned), strict=True))
    assert told["7"] == "not_of_majority" and told["0.5"] == ""
