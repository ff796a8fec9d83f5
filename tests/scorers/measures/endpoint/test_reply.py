"""Whatever a server says costs one row, by a name, and no other; all three clients alike."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeAlias

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.measures.endpoint import generator
from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.generator import (
    EndpointGenerator,
    endpoint_fingerprint,
    read_answer,
    served_window,
)
from scorers.measures.endpoint.judge import EndpointJudge, lists_tokens, read_options
from scorers.measures.endpoint.losses import EndpointLosses, read_losses
from scorers.measures.endpoint.reply import MOST_BYTES, NotNow, Reply, read_logprob, read_reply
from scorers.measures.models.loading import MissingModelError
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    TokenLosses,
)
from tests.fake_endpoint import BROKEN, Body, Canned, ask_all, completion, listed, scored, serve

Place: TypeAlias = tuple[str | int, ...]
BAD = "bad"
IDS = [7, 8, 9]
OPTIONS = ("A", "B")


def nats(before: int, token: int) -> float:
    return 0.5


GOOD: dict[str, Body] = {
    "generator": {**completion("fine").body, "model": "m"},  # type: ignore[dict-item]
    "judge": listed(A=0.6, B=0.3).body,  # type: ignore[dict-item]
    "losses": scored({"prompt": IDS}, nats).body,  # type: ignore[dict-item]
}


def ask_generator(asked: EndpointSettings, contents: Sequence[str]) -> list[str]:
    requests = [GenerationRequest([user(text)], (), 0.0, 8, 0) for text in contents]
    answers = EndpointGenerator(asked).sample(requests)
    return [a.text if isinstance(a, GeneratedAnswer) else a.reason for a in answers]


def ask_judge(asked: EndpointSettings, contents: Sequence[str]) -> list[str]:
    found = EndpointJudge(asked).option_probabilities([[user(text)] for text in contents], OPTIONS)
    assert ((found.mass >= 0) & (found.mass <= 1)).all()
    failed = np.isnan(found.probabilities).any(axis=1)
    assert failed.tolist() == [at in found.failures for at in range(len(contents))]
    return [
        found.failures[at].reason if at in found.failures else "fine" for at in range(len(contents))
    ]


def ask_losses(asked: EndpointSettings, contents: Sequence[str]) -> list[str]:
    texts = [[8, 0] if text == BAD else [8, 9] for text in contents]
    found = EndpointLosses(asked).token_losses([[7]] * len(texts), texts)
    return ["fine" if isinstance(each, TokenLosses) else each.reason for each in found]


ASK: dict[str, Callable[[EndpointSettings, Sequence[str]], list[str]]] = {
    "generator": ask_generator,
    "judge": ask_judge,
    "losses": ask_losses,
}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def is_bad(body: Body) -> bool:
    return BAD in str(body.get("messages")) or body.get("prompt") == [7, 8, 0]


def ask_three(client: str, bad: Canned) -> list[str]:
    """What is said of three rows, of which the server says something odd of the middle one."""

    def respond(body: Body, attempt: int) -> Canned:
        return bad if is_bad(body) else Canned(body=GOOD[client])

    with serve(respond) as endpoint:
        asked = EndpointSettings(endpoint.base_url, "m", retries=0, timeout_seconds=5)
        return ASK[client](asked, ["one", BAD, "three"])


@pytest.mark.parametrize("client", ASK)
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_reply_costs_one_row(client: str, name: str) -> None:
    bad, reason = BROKEN[name]
    assert ask_three(client, bad) == ["fine", reason, "fine"]


CONTENT = ("choices", 0, "message", "content")
TOP = ("choices", 0, "logprobs", "content", 0, "top_logprobs")
PLACES = ("choices", 0, "prompt_logprobs")
THERE = (*PLACES, 1, "8")

ODD: dict[str, list[tuple[Place, object, str]]] = {
    "generator": [
        (("choices",), None, "malformed_reply"),
        (("choices",), {"0": {}}, "malformed_reply"),
        (("choices",), [], "malformed_reply"),
        (("choices", 0), [None], "malformed_reply"),
        (("choices", 0, "index"), 1, "malformed_reply"),
        (("choices", 0, "index"), "0", "malformed_reply"),
        (("choices", 0, "message"), ["content"], "malformed_reply"),
        (("choices", 0, "finish_reason"), "\ud800", "malformed_reply"),
        (("choices", 0, "finish_reason"), {"stop": 1}, "malformed_reply"),
        (CONTENT, 10**400, "malformed_reply"),
        (CONTENT, "half a pair \udc00 of two", "unsound_text"),
        (CONTENT, "a\0b", "unsound_text"),
        (CONTENT, "\0", "unsound_text"),
        (("choices", 0, "message", "tool_calls"), 1, "tool_calls"),
        (("usage",), None, "fine"),
        (("usage",), [7], "fine"),
        (("usage", "completion_tokens"), math.inf, "fine"),
        (("usage", "completion_tokens"), 10**400, "fine"),
    ],
    "judge": [
        (("choices",), None, "no_logprobs"),
        (("choices", 0, "index"), 3, "no_logprobs"),
        (("choices", 0, "logprobs"), None, "no_logprobs"),
        (("choices", 0, "logprobs", "content"), {}, "no_logprobs"),
        (TOP, 5, "no_logprobs"),
        (TOP, "AB", "no_logprobs"),
        (TOP, [[], None, 1], "no_logprobs"),
        ((*TOP, 0, "logprob"), 10**400, "no_logprobs"),
        ((*TOP, 0, "logprob"), math.nan, "no_logprobs"),
        ((*TOP, 0, "logprob"), math.inf, "no_logprobs"),
        ((*TOP, 0, "logprob"), True, "no_logprobs"),
        ((*TOP, 0, "logprob"), "-1", "no_logprobs"),
        ((*TOP, 0, "logprob"), 3.0, "no_logprobs"),
        ((*TOP, 0, "logprob"), -math.inf, "fine"),
        ((*TOP, 0, "token"), ["A"], "fine"),
        (TOP, [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -0.1}], "no_logprobs"),
        (TOP, [{"token": "A", "logprob": -0.1}] * 3, "fine"),
        (TOP, [{"token": "A", "logprob": 0.0}, {"token": "B", "logprob": -15.0}], "fine"),
        (TOP, [{"token": "\ud800", "logprob": -0.1}], "no_option"),
    ],
    "losses": [
        (("choices",), None, "malformed_reply"),
        (("choices", 0, "index"), 1, "malformed_reply"),
        (PLACES, None, "malformed_reply"),
        (PLACES, {}, "malformed_reply"),
        (PLACES, [None, None], "malformed_reply"),
        ((*PLACES, 1), [], "malformed_reply"),
        ((*PLACES, 1), {"6": {"logprob": -1.0, "rank": 1}}, "malformed_reply"),
        ((*THERE, "logprob"), 10**400, "malformed_reply"),
        ((*THERE, "logprob"), False, "malformed_reply"),
        ((*THERE, "logprob"), 2.0, "malformed_reply"),
        ((*THERE, "rank"), True, "malformed_reply"),
        ((*THERE, "rank"), 10**400, "fine"),
        ((*THERE, "decoded_token"), "\ud800", "fine"),
    ],
}


@pytest.mark.parametrize(
    ("client", "place", "value", "reason"),
    [(client, *case) for client, cases in ODD.items() for case in cases],
    ids=[f"{client}-{number}" for client, cases in ODD.items() for number in range(len(cases))],
)
def test_what_is_a_reply_of_odd_parts_costs_one_row(
    client: str, place: Place, value: object, reason: str
) -> None:
    good = {**GOOD, "losses": scored({"prompt": [7, 8, 0]}, nats).body}[client]
    bad = Canned(body=json.loads(json.dumps(put(good, place, value))))
    assert ask_three(client, bad) == ["fine", reason, "fine"]


def put(reply: object, place: Place, value: object) -> object:
    """A copy with another value at a place."""
    copied: Any = deepcopy(reply)
    into = copied
    for key in place[:-1]:
        into = into[key]
    into[place[-1]] = value
    return copied


def places_of(value: object) -> Iterator[Place]:
    """Every place in a JSON value but the whole."""
    pairs: list[tuple[Any, object]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, inner in pairs:
        yield (key,)
        yield from ((key, *rest) for rest in places_of(inner))


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63])
    | st.floats()
    | st.text(st.characters(), max_size=4)
    | st.sampled_from(["\ud800", "\0", "stop", "length"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def received(content: bytes, status: int = 200) -> Reply | NotNow:
    """What is made of a body, without a socket."""
    request = httpx.Request("POST", "http://h/v1/p")
    response = httpx.Response(status, stream=httpx.ByteStream(content), request=request)
    return asyncio.run(read_reply(response))


@pytest.mark.parametrize("client", ASK)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_json_at_any_place_is_a_number_or_a_named_failure(
    client: str, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(list(places_of(GOOD[client]))))
    content = json.dumps(put(GOOD[client], place, data.draw(ANY_JSON))).encode()
    reply = received(content)
    assert not isinstance(reply, NotNow)
    if client == "generator":
        answer = read_answer(reply)
        said = answer.text if isinstance(answer, GeneratedAnswer) else answer.reason
        assert pa.array([said, str(answer)]).to_pylist()[0] == said and "\0" not in said
    elif client == "judge":
        found = read_options(reply, OPTIONS)
        listed = isinstance(reply, dict) and lists_tokens(reply)
        assert all(0 <= each <= 1.05 for each in found) and (listed or not any(found))
    else:
        losses = read_losses(reply, IDS[:1], IDS[1:])
        assert isinstance(losses, GenerationFailure) or (
            losses.nll.shape == losses.top1.shape == (2,) and not (losses.nll < 0).any()
        )


@settings(max_examples=60, deadline=None)
@given(error=ANY_JSON, status=st.integers(100, 999))
def test_any_status_with_any_error_is_a_named_failure(error: object, status: int) -> None:
    said = received(json.dumps({"error": error}).encode(), status)
    failure = said.failure if isinstance(said, NotNow) else said
    if isinstance(failure, GenerationFailure):
        assert pa.array([failure.reason + failure.detail])[0].is_valid


MODELS: Body = {"object": "list", "data": [{"id": "m", "root": "/w/1", "max_model_len": 9}]}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_list_of_models_has_the_model_or_an_error_that_says_not(data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(list(places_of(MODELS))))
    reply = received(json.dumps(put(MODELS, place, data.draw(ANY_JSON))).encode())
    asked = EndpointSettings("http://127.0.0.1:9/v1", "m")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(generator, "get_json", lambda *_: reply)
        try:
            assert len(endpoint_fingerprint(asked)) == 64
        except MissingModelError as error:
            assert str(error).isprintable()
        else:
            assert served_window(asked) is None or served_window(asked) >= 0  # type: ignore[operator]


def test_a_server_that_drips_is_timed_from_the_first_byte_to_the_last() -> None:
    slow = Canned(body={}, drip_seconds=0.15)
    with serve(lambda body, attempt: Canned(body={}) if "prompt" in body else slow) as endpoint:
        quick = EndpointSettings(endpoint.base_url, "m", retries=0, timeout_seconds=0.2)
        (reply,) = ask_all(quick, "p", [{"row": 1}])
        assert isinstance(reply, GenerationFailure) and reply.reason == "timeout"
        (reply,) = ask_all(replace(quick, timeout_seconds=5), "p", [{"row": 2}])
        assert reply == {}


def test_what_repeats_a_long_question_may_be_long() -> None:
    long, answer = {"row": "x" * 100_000}, {"said": "y" * (MOST_BYTES + 10_000)}
    with serve(lambda body, attempt: Canned(body=answer)) as endpoint:
        asked = EndpointSettings(endpoint.base_url, "m", retries=0)
        said, cut = ask_all(asked, "p", [long, {"row": "x"}])
    assert said == answer and isinstance(cut, GenerationFailure)


@pytest.mark.parametrize(
    ("value", "read"),
    [(-1, -1.0), (0.005, 0.005), (-math.inf, -math.inf), (0.02, None), (True, None), ("0", None)],
)
def test_a_log_probability_is_a_number_that_is_not_above_0(
    value: object, read: float | None
) -> None:
    assert read_logprob(value) == read
