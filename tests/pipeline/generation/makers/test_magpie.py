"""Magpie: which requests stay, what is asked of whom, and that their number changes none."""

from collections.abc import Callable, Sequence

import pytest

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers import magpie
from pipeline.generation.makers.magpie import Magpie, make_by_magpie
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure, Opening

OPENING = Opening(ids=[1, 2], end="<|end|>", end_id=3)

SPECIAL = ["<|start|>", "<|end|>"]


def reply(text: str | None) -> GeneratedAnswer | GenerationFailure:
    return GenerationFailure("timeout", "") if text is None else GeneratedAnswer(text, 2, True)


def run(
    settings: Magpie, say: Callable[[Ask], str | None]
) -> tuple[Sequence[Settled], list[list[Ask]]]:
    making = make_by_magpie(settings, OPENING, SPECIAL)
    rounds: list[list[Ask]] = []
    settled: list[Settled] = []
    wanted = next(making)
    try:
        while True:
            rounds.append([*wanted.asks])
            settled += wanted.settled
            wanted = making.send([reply(say(ask)) for ask in wanted.asks])
    except StopIteration as ended:
        return [*settled, *ended.value], rounds


def settings(**fields: object) -> Magpie:
    return Magpie.model_validate({"method": "magpie", "instructions": 8, **fields})


SAID = [
    " Name a river.\nAnd a lake. ",
    "Name a river.\nAnd a lake.",
    "Tell me:",
    "Hi<|start|>assistant",
    " \n",
    None,
    "Name a river.",
    "Name a sea.",
]


def say(ask: Ask) -> str | None:
    return SAID[ask.attempt] if ask.opening else f"answer {ask.attempt}"


def test_each_request_has_one_outcome_and_those_that_stay_an_answer() -> None:
    settled, (asked, answered) = run(settings(), say)
    reasons = {each.replies[0][1]: each.reason for each in settled}
    assert [reasons[n] for n in range(8)] == [
        "answer",
        "duplicate",
        "ends_with_colon",
        "template_token",
        "empty_answer",
        "timeout",
        "answer",
        "answer",
    ]
    rows = [each.row for each in settled if each.row]
    assert [[m["content"] for m in row.messages] for row in rows] == [
        ["Name a river.\nAnd a lake.", "answer 0"],
        ["Name a river.", "answer 6"],
        ["Name a sea.", "answer 7"],
    ]
    assert all(ask.opening == OPENING and not ask.messages for ask in asked)
    assert [ask.temperature for ask in (asked[0], answered[0])] == [1.0, 0.0]
    assert all(not each.parents for each in settled)


def test_on_one_line_a_request_ends_there_and_may_be_another_again() -> None:
    settled, _ = run(settings(one_line=True), say)
    assert sum(each.row is not None for each in settled) == 2
    assert [each.reason for each in settled if each.replies[0][1] == 6] == ["duplicate"]


def test_a_system_prompt_stands_before_the_answered_request_and_in_the_row() -> None:
    settled, (_, answered) = run(settings(system="Of law."), say)
    first = {"role": "system", "content": "Of law."}
    assert all(ask.messages[0] == first for ask in answered)
    assert all(each.row.messages[0] == first for each in settled if each.row)


def test_an_answer_with_a_special_token_is_no_row() -> None:
    settled, _ = run(
        settings(instructions=1), lambda ask: "Hi" if ask.opening else "So.<|end|>Next"
    )
    assert [each.reason for each in settled] == ["template_token"]


@pytest.mark.parametrize("together", [1, 3, 64])
def test_the_rows_do_not_depend_on_how_many_are_asked_together(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(magpie, "TOGETHER_ASKED", together)
    settled, rounds = run(settings(), say)
    assert len(rounds) == 2 * -(-8 // together)
    assert [each.row.example_id for each in settled if each.row] == [
        each.row.example_id for each in run(settings(), say)[0] if each.row
    ]
    assert len(settled) == 8
