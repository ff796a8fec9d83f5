"""A text that a server goes on from: what it is sent, and what is read of its reply."""

from dataclasses import replace
from pathlib import Path

import pytest

from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.continuation import read_continuation, without_end
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    OneOf,
    Opening,
    RawText,
)
from tests.fake_endpoint import Body, Canned, completion, continued, serve

OPENING = Opening(ids=[5, 6], end="<|end|>", end_id=9)

GO_ON = GenerationRequest((), (), 1.0, 32, 4, opening=OPENING)

ANSWER = GenerationRequest([{"role": "user", "content": "Why?"}], (), 0.0, 32, 0)


def test_each_request_goes_to_its_own_path_and_the_replies_stay_in_order(tmp_path: Path) -> None:
    def respond(body: Body, attempt: int) -> Canned:
        return continued("Name a sea.<|end|>") if "prompt" in body else completion("So.")

    with serve(respond) as endpoint:
        settings = EndpointSettings(endpoint.base_url, "m", timeout_seconds=5, cache=tmp_path / "m")
        generator = EndpointGenerator(settings)
        requests = [GO_ON, ANSWER, GO_ON]
        answers = generator.sample(requests)
        assert generator.sample(requests) == answers
    assert [each.text for each in answers if isinstance(each, GeneratedAnswer)] == [
        "Name a sea.",
        "So.",
        "Name a sea.",
    ]
    sent = {each.path: each.body for each in endpoint.received}
    assert len(endpoint.received) == 2, "equal ones are asked once, and kept"
    assert sent["/v1/completions"] == {
        "model": "m",
        "prompt": [5, 6],
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": 4,
        "max_tokens": 32,
        "stop": ["<|end|>"],
        "stop_token_ids": [9],
        "skip_special_tokens": False,
    }
    for request in (GO_ON, ANSWER):
        assert (tmp_path / generator.kept_at(request)).is_file()


def test_a_text_is_sent_as_text_with_what_ends_an_answer_and_its_form() -> None:
    asked = GenerationRequest((), (), 0.5, 8, 4, opening=RawText("Q: why?\nA:", ("\nQ:", "--")))
    with serve(lambda body, attempt: continued(" So. \nQ: more", "length")) as endpoint:
        settings = EndpointSettings(endpoint.base_url, "m", timeout_seconds=5)
        generator = EndpointGenerator(settings)
        held = replace(asked, form=OneOf(("yes", "no")))
        # A server that does not know `stop` runs on: the answer was whole before.
        assert generator.sample([asked, held]) == [GeneratedAnswer("So.", 7, finished=True)] * 2
    # Two are asked at once: the plain one has fewer fields, whichever came first.
    plain, formed = sorted((each.body for each in endpoint.received), key=len)
    assert plain == {
        "model": "m",
        "prompt": "Q: why?\nA:",
        "temperature": 0.5,
        "top_p": 1.0,
        "seed": 4,
        "max_tokens": 8,
        "stop": ["\nQ:", "--"],
    }
    assert formed.keys() - plain.keys() == {"response_format"}, "no logprobs, as chats have them"


@pytest.mark.parametrize(
    ("canned", "reason"),
    [
        (continued(""), "empty_answer"),
        (continued(None), "malformed_reply"),
        (continued("x", finish_reason="content_filter"), "content_filter"),
        (continued("x", finish_reason="odd"), "malformed_reply"),
        (completion("x"), "malformed_reply"),
        (Canned(body={"choices": []}), "malformed_reply"),
    ],
)
def test_what_is_no_text_gets_a_name(canned: Canned, reason: str) -> None:
    assert isinstance(canned.body, dict)
    read = read_continuation(canned.body)
    assert isinstance(read, GenerationFailure) and read.reason == reason


def test_a_text_that_was_cut_off_is_not_finished() -> None:
    canned = continued("x", finish_reason="length")
    assert isinstance(canned.body, dict)
    assert read_continuation(canned.body) == GeneratedAnswer("x", 7, finished=False)


def test_only_the_end_of_the_turn_is_taken_away() -> None:
    said = GeneratedAnswer("<|end|>a<|end|>", 1, finished=True)
    assert without_end(said, OPENING) == GeneratedAnswer("<|end|>a", 1, finished=True)
    failed = GenerationFailure("timeout", "")
    assert without_end(failed, OPENING) is failed
