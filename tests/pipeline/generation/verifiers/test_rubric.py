"""A row meets all criteria or none of it is kept; and a verdict that cannot be read is none."""

import json
from collections.abc import Sequence

import pytest

from pipeline.generation.maker import Ask
from pipeline.generation.templates import read_prompt_text
from pipeline.generation.verifier import Verdict
from pipeline.generation.verifiers.rubric import CRITERIA, DEFAULT, Rubric
from scorers.measures.protocols import GeneratedAnswer
from tests.pipeline.generation.verifiers.given import row

SOURCE = row("Which is longer?", "The Rhine.")
PLACES = [("answer", 0), ("answer", 1)]


def rubric(*criteria: str) -> Rubric:
    return Rubric.model_validate({"method": "rubric", "criteria": criteria or DEFAULT})


def run(verifier: Rubric, *rounds: Sequence[str]) -> tuple[list[list[Ask]], list[Verdict]]:
    verifying = verifier.verify(SOURCE, PLACES, ["The Rhine", "The Main"])
    asked, wanted = [], next(verifying)
    for texts in rounds:
        asked.append(list(wanted.asks))
        try:
            wanted = verifying.send([GeneratedAnswer(text, 1, finished=True) for text in texts])
        except StopIteration as ended:
            return asked, list(ended.value)
    raise AssertionError("it asks on")


def says(**no: str) -> str:
    return json.dumps(dict.fromkeys(DEFAULT, "yes") | no)


def test_the_first_criterion_that_is_not_met_is_the_fault() -> None:
    asked, told = run(rubric(), [says(), says(format="no", correct="no")])
    assert [each.fault for each in told] == ["", "not_correct"]
    assert [each.asked for each in told] == [(ask.place,) for ask in asked[0]]


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        '{"complete": "yes"}',
        says(complete="No"),
        says(complete="maybe"),
        says(other="yes"),
        "[]",
        says()[:-3],
    ],
)
def test_what_is_not_a_verdict_on_each_is_asked_again_and_lets_nothing_in(text: str) -> None:
    asked, told = run(rubric(), [text, says()], [text])
    assert [each.fault for each in told] == ["unparsed_verdict", ""]
    ((again,),) = asked[1:]
    assert (again.kind, again.temperature, again.stage) == ("retry", 1, "rubric judge answer 0")
    assert again.place in told[0].asked


def test_only_the_criteria_that_are_named_are_shown_and_held_to() -> None:
    asked, told = run(rubric("consistent"), ['{"consistent": "no"}', '{"consistent": "yes"}'])
    assert [each.fault for each in told] == ["not_consistent", ""]
    text = str(asked[0][0].messages[0]["content"])
    assert "consistent: " in text and "complete: " not in text and "$" not in text
    assert "Which is longer?" in text and "The Rhine\n" in text


def test_each_criterion_is_worded() -> None:
    worded = [line.partition(": ")[0] for line in read_prompt_text(CRITERIA).splitlines()]
    assert worded == [*DEFAULT, "consistent"]
