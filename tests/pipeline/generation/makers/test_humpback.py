"""Humpback: the reply stands in the document, and goes where its expected rating is below."""

from collections.abc import Mapping, Sequence

import pytest

from pipeline.generation.maker import Ask, Settled, Unread
from pipeline.generation.makers.humpback import POINTS, Humpback, expect_rating
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from storage.documents import SourcePassage

TEXT = "\nAir is mostly nitrogen. A fifth of it is oxygen, which fires need. The rest is argon.\n"
PASSAGE = SourcePassage("a" * 32, "document", ["Air"], 0, len(TEXT), TEXT)

REQUEST = GeneratedAnswer("What is air made of?", 3, True)


def humpback(**fields: object) -> Humpback:
    return Humpback.model_validate({"method": "humpback", **fields})


def rating(said: str, options: Mapping[str, float] | None = None) -> GeneratedAnswer:
    return GeneratedAnswer(said, 1, True, options=options)


def run(
    settings: Humpback, *replies: GeneratedAnswer | GenerationFailure
) -> tuple[Settled, list[Ask]]:
    """What comes of a passage, and what was asked; every reply is asked for."""
    making, given = settings.makings([PASSAGE], 0)[PASSAGE.passage_id], iter(replies)
    wanted = next(making)
    asked: list[Ask] = []
    while True:
        asked += wanted.asks
        reply = next(given, None)
        assert reply is not None, "it asks more"
        try:
            wanted = making.send([reply])
        except StopIteration as ended:
            assert next(given, None) is None, "all were asked for"
            (settled,) = ended.value
            return settled, asked


def said_in(settled: Settled) -> Sequence[str]:
    assert settled.row is not None
    return [str(message["content"]) for message in settled.row.messages]


def test_a_row_is_the_request_and_the_text_that_stood_there() -> None:
    settled, asked = run(humpback(), REQUEST, rating("5"))
    assert said_in(settled) == ["What is air made of?", TEXT.strip()]
    assert settled.reason == "rated_high" and settled.replies == [("request", 0), ("rating", 0)]
    assert [ask.kind for ask in asked] == ["generate", "judge"] and asked[1].form == POINTS
    shown = str(asked[1].messages[0]["content"])
    assert REQUEST.text in shown and TEXT.strip() in shown and "Air\n" not in shown
    assert humpback().takes(PASSAGE) is False and humpback(least_words=9).takes(PASSAGE)


def test_a_system_prompt_stands_in_the_row_and_is_asked_with_nowhere() -> None:
    settled, asked = run(humpback(system="From a book."), REQUEST, rating("5"))
    assert said_in(settled)[0] == "From a book." and len(said_in(settled)) == 3
    assert all("From a book." not in str(ask.messages) for ask in asked)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"1": 0.0, "2": 0.0, "3": 0.0, "4": 0.1, "5": 0.3}, 4.75),  # (0.4 + 1.5) / 0.4
        ({"1": 0.25, "2": 0.0, "3": 0.0, "4": 0.0, "5": 0.25}, 3.0),
        (dict.fromkeys("12345", 0.0), 4.0),  # nobody tells, so what it says
        (None, 4.0),
    ],
)
def test_the_rating_is_expected_over_the_five_and_the_bound_is_kept(
    options: Mapping[str, float] | None, expected: float
) -> None:
    reply = rating("4", options)
    assert expect_rating(reply) == pytest.approx(expected)
    for bound in (1.0, 3.0, 3.5, 4.0, 4.5, 5.0):
        settled, _ = run(humpback(rating_at_least=bound), REQUEST, reply)
        assert (settled.row is not None) == (expected >= bound), bound
        assert settled.reason == ("rated_high" if expected >= bound else "rated_low")


@pytest.mark.parametrize("said", ["6", "4 or 5", "good", "", "0"])
def test_a_rating_that_is_none_of_the_five_lets_nothing_in(said: str) -> None:
    assert isinstance(expect_rating(rating(said)), Unread)
    settled, asked = run(humpback(), REQUEST, rating(said), rating(said))
    assert (settled.row, settled.reason) == (None, "unparsed_rating")
    assert [ask.kind for ask in asked] == ["generate", "judge", "retry"]
    settled, _ = run(humpback(), REQUEST, rating(said), rating("4."))
    assert settled.reason == "rated_high"


def test_a_request_that_is_none_is_not_rated() -> None:
    settled, asked = run(humpback(), GenerationFailure("http_500", ""))
    assert settled.reason == "http_500" and len(asked) == 1
    quoting = GeneratedAnswer("Say that a fifth of it is oxygen, which fires need.", 3, True)
    settled, asked = run(humpback(), quoting)
    assert settled.reason == "quotes_reply" and len(asked) == 1
