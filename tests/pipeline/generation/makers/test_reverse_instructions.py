"""Reverse instructions: what is trained stood in the response, and the request does not say it."""

from collections.abc import Sequence

import pytest

from pipeline.generation.maker import Settled
from pipeline.generation.makers.reverse_instructions import (
    ReverseInstructions,
    draw_sentences,
    make_by_reversing,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example
from tests.pipeline.generation.verifiers.given import row

TEXT = "Air is mostly nitrogen. A fifth of it is oxygen, which fires need. The rest is argon."
SOURCE = row("?", TEXT)


def block(**fields: object) -> ReverseInstructions:
    return ReverseInstructions.model_validate({"method": "reverse_instructions", **fields})


def run(settings: ReverseInstructions, *replies: str, source: Example = SOURCE) -> Settled:
    """What comes of a row; every reply is asked for."""
    making, given = make_by_reversing(settings, source, 3), iter(replies)
    wanted = next(making)
    while True:
        (ask,) = wanted.asks
        assert ask.kind == "generate"
        try:
            wanted = making.send([GeneratedAnswer(next(given), 3, finished=True)])
        except StopIteration as ended:
            assert next(given, None) is None, "all were asked for"
            settled: Settled = ended.value[0]
            assert len(ended.value) == 1
            return settled


def exchange(settled: Settled) -> Sequence[str]:
    assert settled.row is not None
    return [str(message["content"]) for message in settled.row.messages]


def test_the_response_is_the_answer_and_the_request_is_made() -> None:
    settled = run(block(), " What is air made of? \n")
    assert exchange(settled) == ["What is air made of?", TEXT]
    assert settled.replies == [("request", 0)] and settled.reason == "whole"
    settled = run(block(), "Sorry, I cannot help with that.")
    assert (settled.row, settled.reason) == (None, "refusal")


def test_sentences_are_drawn_as_they_stand_by_seed_and_row() -> None:
    settings = block(extract="sentences", sentences=2, least_words=3)
    _, reply = exchange(run(settings, "What is air made of?"))
    assert reply in TEXT and reply.count(".") == 2
    drawn = {draw_sentences(TEXT, 1, [3, n]) for n in range(40)}
    assert drawn == {f"{each}." for each in TEXT.removesuffix(".").split(". ")}
    assert draw_sentences(TEXT, 1, [3, 0]) == draw_sentences(TEXT, 1, [3, 0])
    assert draw_sentences(TEXT, 9, [0]) == TEXT
    short = block(extract="sentences", sentences=1, least_words=20)
    making = make_by_reversing(short, SOURCE, 3)
    with pytest.raises(StopIteration) as ended:
        next(making)
    assert [each.reason for each in ended.value.value] == ["too_short"]


def test_what_the_model_extracts_must_stand_in_the_response() -> None:
    settings = block(extract="model")
    copy = "A fifth of it is oxygen, which fires need."
    settled = run(settings, copy, "How much of air is oxygen?")
    assert exchange(settled) == ["How much of air is oxygen?", copy]
    assert settled.replies == [("extract", 0), ("request", 0)]
    settled = run(settings, "A fifth of air is oxygen, and people need it to live.")
    assert (settled.row, settled.reason, settled.replies) == (None, "not_copied", [("extract", 0)])
    # 9 of 10 words in order are enough, and 8 of 10 are not.
    nine, eight = (
        "x A fifth of it is oxygen which fires need",
        "x y A fifth of it is oxygen which fires",
    )
    assert run(block(extract="model"), nine, "What burns?").row is not None
    assert run(block(extract="model"), eight).reason == "not_copied"
    assert run(settings, "oxygen").reason == "too_short"
    assert settings.calls_for(4)["generate"][:2] == (4, 8)
    assert block().calls_for(4)["generate"][:2] == (4, 4)


def test_rows_that_say_something_are_taken() -> None:
    settings = block(least_words=3)
    assert settings.takes(SOURCE) and settings.takes(row("?", "three words here"))
    assert not settings.takes(row("?", "two words")) and not settings.takes(row("only a prompt"))
    assert not settings.takes(row("?", TEXT, [{"name": "now"}]))
