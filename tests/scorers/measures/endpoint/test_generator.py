import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scorers.measures.endpoint import generator
from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.generator import (
    EndpointGenerator,
    endpoint_fingerprint,
    read_answer,
    wire_message,
)
from scorers.measures.models.loading import MissingModelError
from scorers.measures.protocols import (
    AnswerGenerator,
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
)
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, serve


def settings(endpoint: FakeEndpoint) -> EndpointSettings:
    return EndpointSettings(endpoint.base_url, "m", timeout_seconds=5, backoff_seconds=0.001)


def request(text: str, seed: int = 1) -> GenerationRequest:
    messages = [{"role": "user", "content": text}]
    return GenerationRequest(messages, (), temperature=0.7, max_new_tokens=32, seed=seed)


def body_of(canned: Canned) -> Mapping[str, Any]:
    assert isinstance(canned.body, dict)
    return canned.body


def test_answers_in_order_and_a_failure_in_its_place() -> None:
    def respond(body: Body, attempt: int) -> Canned:
        text = body["messages"][-1]["content"]
        return Canned(400) if text == "bad" else completion(text.upper())

    with serve(respond) as endpoint:
        generator: AnswerGenerator = EndpointGenerator(settings(endpoint))
        answers = generator.sample([request("a"), request("bad"), request("c")])
    assert answers == [
        GeneratedAnswer("A", tokens=7, finished=True),
        GenerationFailure("http_400", "status 400"),
        GeneratedAnswer("C", tokens=7, finished=True),
    ]


def test_an_answer_is_kept_and_what_is_none_is_asked_again(tmp_path: Path) -> None:
    def respond(body: Body, attempt: int) -> Canned:
        text = body["messages"][-1]["content"]
        return completion("" if text == "empty" else f"{text} {attempt}")

    with serve(respond) as endpoint:
        generator = EndpointGenerator(replace(settings(endpoint), cache=tmp_path))
        asked = [request("a"), request("a", seed=2), request("empty")]
        first, again = generator.sample(asked), generator.sample(asked)
    assert first[:2] == [GeneratedAnswer("a 0", 7, True)] * 2 == again[:2]
    assert len(endpoint.received) == 4  # the empty one twice


def test_sends_what_was_asked_for_and_nothing_else() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    with serve(lambda body, attempt: completion("x")) as endpoint:
        newest = replace(
            settings(endpoint),
            length_field="max_completion_tokens",
            extra_body={"top_k": -1, "model": "overridden"},
        )
        EndpointGenerator(settings(endpoint)).sample([request("a", seed=2**40 + 5)])
        EndpointGenerator(newest).sample([replace(request("b"), tools=[tool])])
    first, second = (received.body for received in endpoint.received)
    assert endpoint.received[0].path == "/v1/chat/completions"
    assert first == {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}],
        "temperature": 0.7,
        "top_p": 1.0,
        "seed": 5,
        "max_tokens": 32,
    }
    assert second["max_completion_tokens"] == 32 and "max_tokens" not in second
    assert second["tools"] == [tool] and second["top_k"] == -1 and second["model"] == "m"


def test_arguments_of_tool_calls_travel_as_text_and_weights_stay_here() -> None:
    arguments = {"city": "Zürich", "days": 2}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": "", "tool_calls": [call], "weight": 0}
    wire = wire_message(message)
    assert json.loads(wire["tool_calls"][0]["function"].pop("arguments")) == arguments
    assert wire == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f"}}],
    }
    assert message["weight"] == 0 and call["function"] == {"name": "f", "arguments": arguments}


@pytest.mark.parametrize(
    ("canned", "expected"),
    [
        (completion("cut", "length"), GeneratedAnswer("cut", 7, finished=False)),
        (completion("whole", "eos_token"), GeneratedAnswer("whole", 7, finished=True)),
        (completion(None), "empty_answer"),
        (completion(" \n"), "empty_answer"),
        (completion("", "length"), "empty_answer"),
        (completion(None, refusal="I cannot help."), "refusal"),
        (completion("Par", "content_filter"), "content_filter"),
        (completion(None, "tool_calls", tool_calls=[{}]), "tool_calls"),
        (completion("calling", "stop", tool_calls=[{}]), "tool_calls"),
        (completion("odd", None), "malformed_reply"),
        (completion("odd", ["stop"]), "malformed_reply"),
        (completion([{"type": "text", "text": "parts"}]), "malformed_reply"),
        (Canned(body={}), "malformed_reply"),
        (Canned(body={"choices": []}), "malformed_reply"),
        (Canned(body={"choices": [{"finish_reason": "stop"}]}), "malformed_reply"),
        (Canned(body={"choices": ["text"]}), "malformed_reply"),
        (Canned(body={"error": {"message": "sent with status 200"}}), "malformed_reply"),
    ],
)
def test_every_reply_is_an_answer_or_a_named_failure(
    canned: Canned, expected: GeneratedAnswer | str
) -> None:
    answer = read_answer(body_of(canned))
    if isinstance(expected, str):
        assert isinstance(answer, GenerationFailure) and answer.reason == expected
    else:
        assert answer == expected


@pytest.mark.parametrize("sign", ["x", "é", "漢", "😀"])
def test_no_more_answers_are_held_than_there_is_room_for(
    sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "x" * 999 + sign
    monkeypatch.setattr(generator, "MOST_HELD_BYTES", 3 * sys.getsizeof(text) + 5)
    with serve(lambda body, attempt: completion(text)) as endpoint:
        one_by_one = EndpointGenerator(EndpointSettings(endpoint.base_url, "m", max_concurrency=1))
        for _ in range(2):  # what one call had no room for, another has
            answers = one_by_one.sample([request("Why?", seed) for seed in range(5)])
            held = [isinstance(answer, GeneratedAnswer) for answer in answers]
            assert held == [True, True, True, False, False]
            assert {getattr(answer, "reason", "") for answer in answers[3:]} == {"reply_too_large"}


def test_the_text_is_not_touched() -> None:
    assert read_answer(body_of(completion(" two\n"))) == GeneratedAnswer(" two\n", 7, True)


def test_a_server_that_counts_nothing_gives_no_count() -> None:
    body = {key: value for key, value in body_of(completion("x")).items() if key != "usage"}
    assert read_answer(body) == GeneratedAnswer("x", None, True)


def models(*entries: Body) -> Canned:
    return Canned(body={"object": "list", "data": list(entries)})


def test_the_fingerprint_tells_servers_models_and_roots_apart_and_nothing_else() -> None:
    served: list[Body] = [{"id": "m", "root": "/w/1", "created": 1}, {"id": "n", "root": "/w/1"}]
    with (
        serve(lambda body, attempt: models(*served)) as endpoint,
        serve(lambda body, attempt: models(*served)) as elsewhere,
    ):
        first = EndpointGenerator(settings(endpoint)).fingerprint()
        served[0]["created"] = 2
        assert endpoint_fingerprint(settings(endpoint)) == first
        slash = replace(settings(endpoint), base_url=endpoint.base_url + "/", retries=1)
        assert endpoint_fingerprint(slash) == first
        assert endpoint_fingerprint(replace(settings(endpoint), model="n")) != first
        assert endpoint_fingerprint(settings(elsewhere)) != first
        served[0]["root"] = "/w/2"
        assert endpoint_fingerprint(settings(endpoint)) != first
    assert len(first) == 64


def test_a_model_that_is_not_served_is_named_with_those_that_are() -> None:
    with (
        serve(lambda body, attempt: models({"id": "b"}, {"id": "a"}, {"no": "id"})) as endpoint,
        pytest.raises(MissingModelError, match=r"serves no 'm'. There are: a, b\."),
    ):
        endpoint_fingerprint(settings(endpoint))


def test_a_server_that_cannot_be_asked_is_an_error_that_says_so() -> None:
    with (
        serve(lambda body, attempt: Canned(401)) as endpoint,
        pytest.raises(MissingModelError, match=r"/models: http_401 .* key set"),
    ):
        endpoint_fingerprint(settings(endpoint))


@pytest.mark.parametrize("text", ["\ud800", "a\0", "\udfff x"])
def test_an_answer_that_cannot_be_stored_is_a_failure_and_no_longer_kept(
    tmp_path: Path, text: str
) -> None:
    kept = replace(EndpointSettings("http://127.0.0.1:9/v1", "m"), cache=tmp_path)
    with serve(lambda body, attempt: completion("sound" if attempt else text)) as endpoint:
        asked = replace(kept, base_url=endpoint.base_url)
        (failure,) = EndpointGenerator(asked).sample([request("a")])
        (answer,) = EndpointGenerator(asked).sample([request("a")])
    assert isinstance(failure, GenerationFailure) and failure.reason == "unsound_text"
    assert answer == GeneratedAnswer("sound", 7, True)


def test_of_endless_names_of_models_some_are_told_and_none_that_cannot_be_shown() -> None:
    entries = [{"id": f"name-{n:04}"} for n in range(5000)] + [{"id": "\x1b[2J"}, {"id": "\ud800"}]
    with (
        serve(lambda body, attempt: models(*entries)) as endpoint,
        pytest.raises(MissingModelError) as error,
    ):
        endpoint_fingerprint(settings(endpoint))
    told = str(error.value)
    assert "name-0039." in told and "name-0040" not in told and told.isprintable()


@pytest.mark.parametrize("listed", [None, {}, [], [None], ["m"], [{"id": ["m"]}], [{"id": "n"}]])
def test_a_list_without_the_model_is_the_servers_error(listed: object) -> None:
    with (
        serve(lambda body, attempt: Canned(body={"data": listed})) as endpoint,
        pytest.raises(MissingModelError, match="serves no 'm'"),
    ):
        endpoint_fingerprint(settings(endpoint))


def test_a_poisoned_reply_in_the_folder_is_asked_for_again_and_mended(tmp_path: Path) -> None:
    with serve(lambda body, attempt: completion("sound")) as endpoint:
        asked = replace(settings(endpoint), cache=tmp_path)
        generator = EndpointGenerator(asked)
        first = generator.sample([request("a"), request("b")])
        for file in tmp_path.rglob("*.json"):
            poisoned = body_of(completion("\ud800" if "3" in file.name else "a\0"))
            file.write_text(json.dumps(poisoned), encoding="ascii")
        assert generator.sample([request("a"), request("b")]) == first
        before = len(endpoint.received)
        assert generator.sample([request("a"), request("b")]) == first
    assert len(endpoint.received) == before == 4
