"""Persona: who asks is shown where the request is made, and never where it is answered."""

from collections.abc import Sequence

import pytest

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers.persona import Persona, draw_kind
from pipeline.generation.templates import read_prompt_text
from scorers.measures.protocols import GeneratedAnswer
from tests.pipeline.generation.verifiers.given import row

WHO = "A beekeeper in the hills who sells honey at a small market and mends her own hives."
SOURCE = row(WHO)

REFUSAL = "I'm sorry, but I cannot help with that."


def persona(**fields: object) -> Persona:
    return Persona.model_validate({"method": "persona", **fields})


def run(
    settings: Persona, *replies: Sequence[str], seed: int = 0
) -> tuple[list[Settled], list[Ask]]:
    """What comes of a persona whose rounds are answered so."""
    making = settings.makings([SOURCE], seed)[SOURCE.example_id]
    asked: list[Ask] = []
    settled: list[Settled] = []
    given = iter(replies)
    wanted = next(making)
    try:
        while True:
            asked += wanted.asks
            settled += wanted.settled
            said = next(given, None)
            assert said is not None, "it asks more"
            wanted = making.send([GeneratedAnswer(text, 2, True) for text in said])
    except StopIteration as ended:
        return [*settled, *ended.value], asked


def text_of(ask: Ask) -> str:
    (message,) = ask.messages
    return str(message["content"])


def test_a_row_is_the_request_and_its_answer_and_the_answer_sees_no_persona() -> None:
    (settled,), asked = run(persona(), ["How long does wax keep?\n"], [" For years. "])
    assert [ask.stage for ask in asked] == ["request", "answer"]
    assert WHO in text_of(asked[0]) and text_of(asked[1]) == "How long does wax keep?"
    assert settled.row is not None and settled.reason == "answer"
    said = [message["content"] for message in settled.row.messages]
    assert said == ["How long does wax keep?", "For years."]


@pytest.mark.parametrize(
    ("request_text", "answer", "reason"),
    [
        (f"I am this: {WHO} Help me.", None, "repeats_persona"),
        (REFUSAL, None, "refusal"),
        (
            "Here: Write one message that this person may send to an assistant.",
            None,
            "repeats_prompt",
        ),
        ("How long does wax keep?", "As one who mends her own hives. You know.", "answer"),
        ("How long does wax keep?", "You sell honey at a small market.", "speaks_of_persona"),
        ("How long does wax keep?", REFUSAL, "refusal"),
    ],
)
def test_what_was_shown_stands_in_no_row(
    request_text: str, answer: str | None, reason: str
) -> None:
    rounds = [[request_text]] if answer is None else [[request_text], [answer]]
    (settled,), asked = run(persona(), *rounds)
    assert settled.reason == reason and (settled.row is None) == (reason != "answer")
    assert len(asked) == len(settled.replies) == len(rounds)


def test_the_kind_depends_on_persona_number_and_seed_alone() -> None:
    settings = persona(requests_each=8)
    told = [draw_kind(settings, WHO, n, 0) for n in range(8)]
    _, asked = run(settings, [REFUSAL] * 8)
    assert [kind in text_of(ask) for kind, ask in zip(told, asked, strict=True)] == [True] * 8
    assert len({*told}) > 1 and told != [draw_kind(settings, WHO, n, 1) for n in range(8)]
    assert told != [draw_kind(settings, "A sailor.", n, 0) for n in range(8)]
    lines = read_prompt_text("persona_kinds").splitlines()
    assert {*told} <= {line.partition(": ")[2] for line in lines}
    only = persona(kinds=["maths"])
    assert {draw_kind(only, WHO, n, 0) for n in range(8)} == {lines[2].partition(": ")[2]}


def test_an_answer_passes_verifiers() -> None:
    short = persona(verify=[{"method": "constraints", "words_at_most": 2}])
    (settled,), _ = run(short, ["How long does wax keep?"], ["For many years."])
    assert (settled.row, settled.reason) == (None, "too_long")


def test_personas_are_prompts_without_an_answer() -> None:
    assert persona().takes(SOURCE) and not persona().takes(row(WHO, "Hello."))
