from collections.abc import Sequence

import pytest

from pipeline.generation.maker import Ask
from pipeline.generation.verifier import Verdict
from pipeline.generation.verifiers.judged import Judged
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from tests.pipeline.generation.verifiers.given import row

SOURCE = row("Which is longer?", "The Rhine.")
PLACES = [("sample", 0), ("sample", 3)]


def judged(**fields: object) -> Judged:
    return Judged.model_validate({"method": "judged", **fields})


def said(*texts: str) -> list[GeneratedAnswer]:
    return [GeneratedAnswer(text, 1, finished=True) for text in texts]


def run(verifier: Judged, *rounds: Sequence[object]) -> tuple[list[list[Ask]], list[Verdict]]:
    verifying, asked = verifier.verify(SOURCE, PLACES, ["The Rhine", "The Main"]), []
    wanted = next(verifying)
    for replies in rounds:
        asked.append(list(wanted.asks))
        try:
            wanted = verifying.send(replies)  # type: ignore[arg-type]
        except StopIteration as ended:
            return asked, list(ended.value)
    raise AssertionError("it asks on")


def test_each_answer_is_judged_and_a_judge_that_says_neither_is_asked_again() -> None:
    asked, told = run(judged(retries=2), said("Yes.", "hm"), said("no"))
    assert [[ask.place for ask in asks] for asks in asked] == [
        [("judge sample 0", 0), ("judge sample 3", 0)],
        [("judge sample 3", 1)],
    ]
    assert [(ask.kind, ask.temperature) for asks in asked for ask in asks] == [
        ("judge", 0),
        ("judge", 0),
        ("retry", 1),
    ]
    assert told == [
        Verdict("", (("judge sample 0", 0),)),
        Verdict("wrong_answer", (("judge sample 3", 0), ("judge sample 3", 1))),
    ]


def test_an_answer_that_no_reply_judges_is_dropped_as_that() -> None:
    _, told = run(judged(), said("yes and no", "yes"), [GenerationFailure("timeout", "")])
    assert [each.fault for each in told] == ["unparsed_verdict", ""]


@pytest.mark.parametrize(("against", "shown"), [("response", True), ("prompt", False)])
def test_the_judge_is_shown_what_is_compared(against: str, shown: bool) -> None:
    ((first, _),) = run(judged(against=against), said("yes", "yes"))[0]
    text = str(first.messages[0]["content"])
    assert "Which is longer?" in text and "Answer to be judged:\nThe Rhine\n" in text
    assert ("The Rhine." in text) == shown
    assert judged(against="prompt").takes(row("a")) and not judged().takes(row("a"))
