"""Genstruct: a problem and its solution stand alone, and every number comes from somewhere."""

import json
from collections.abc import Sequence

import pytest

from pipeline.generation.maker import Settled
from pipeline.generation.makers.genstruct import Genstruct
from pipeline.generation.verifier import GroundedQuestion, VerifierBlock
from scorers.measures.protocols import GeneratedAnswer
from storage.documents import SourcePassage
from storage.examples import Example

TEXT = "A hive needs 15 kilograms of honey for the winter."
PASSAGE = SourcePassage("a" * 32, "document", ["Bees", "Winter"], 0, len(TEXT), TEXT)

PROBLEM = "Ada has 4 hives and 50 kilograms of honey. How much does she need?"
SOLUTION = (
    "Each hive needs 15 kilograms, so 4 hives need 60 kilograms of honey. Ada has 50 kilograms "
    "already, and therefore she still needs 10 kilograms."
)


def genstruct(**fields: object) -> Genstruct:
    return Genstruct.model_validate({"method": "genstruct", **fields})


def run(settings: Genstruct, *replies: str, finished: bool = True) -> list[Settled]:
    making = settings.makings([PASSAGE], 0)[PASSAGE.passage_id]
    asks = next(making).asks
    assert len(asks) == len(replies) and {ask.kind for ask in asks} == {"generate"}
    assert all(TEXT in str(ask.messages[0]["content"]) for ask in asks)
    with pytest.raises(StopIteration) as ended:
        making.send([GeneratedAnswer(text, 3, finished) for text in replies])
    settled: list[Settled] = ended.value.value
    return settled


def reply(problem: str = PROBLEM, solution: str = SOLUTION) -> str:
    return json.dumps({"problem": problem, "solution": solution})


def test_a_row_is_a_problem_and_its_solution() -> None:
    (settled,) = run(genstruct(), reply(f" {PROBLEM}\n"))
    assert settled.row is not None and settled.reason == "problem"
    assert [message["content"] for message in settled.row.messages] == [PROBLEM, SOLUTION]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("[[[User]]] How much?", "no_json"),
        (json.dumps({"problem": PROBLEM}), "other_json"),
        (reply(problem="What does the passage say of hives?"), "speaks_of_passage"),
        (reply(solution=f"As the text says: {SOLUTION}"), "speaks_of_passage"),
        (reply(solution="So she needs 10 kilograms."), "too_short"),
        (reply(solution=SOLUTION.replace("60", "75")), "unfounded_number"),
        (reply(problem=""), "no_content"),
        (reply(solution="I'm sorry, but I cannot help with that."), "refusal"),
        (reply(solution=f"{SOLUTION} Both must be understood by somebody who has not seen it."),
         "repeats_prompt"),
    ],
)  # fmt: skip
def test_what_is_no_row_has_its_reason(said: str, reason: str) -> None:
    (settled,) = run(genstruct(), said)
    assert (settled.row, settled.reason) == (None, reason)


def test_numbers_of_the_passage_are_known_and_a_cut_reply_is_none() -> None:
    without = PROBLEM.replace("50", "some").replace("4", "four")
    (settled,) = run(genstruct(), reply(without, SOLUTION.replace("50 kilograms", "some")))
    assert settled.reason == "unfounded_number", "10 is of nothing then"
    (settled,) = run(genstruct(), reply(), finished=False)
    assert settled.reason == "cut_off"


def test_of_problems_alike_the_first_that_stays_is_the_row() -> None:
    other = "Ben keeps bees on 3 farms with 2 hives on each. What do they eat in winter?"
    solved = "On 3 farms with 2 hives each there are 6 hives. " + "At 15 for each they eat 90. " * 3
    settled = run(
        genstruct(problems_each=4),
        reply(solution="10."),
        reply(),
        reply(problem=PROBLEM.replace("Ada", "Eva")),
        reply(other, solved),
    )
    assert [each.reason for each in settled] == ["too_short", "problem", "copy", "problem"]


class GroundOf(VerifierBlock):
    """What a verifier is given beside the answer, as its fault."""

    method: str = "ground_of"

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        assert isinstance(source, GroundedQuestion) and [*texts] == [SOLUTION]
        return [f"{source.prompt} of {source.ground}"]


def test_a_solution_passes_verifiers_that_know_its_passage() -> None:
    settings = genstruct().model_copy(update={"verify": (GroundOf(),)})
    (settled,) = run(settings, reply())
    assert (settled.row, settled.reason) == (None, f"{PROBLEM} of {TEXT}")
