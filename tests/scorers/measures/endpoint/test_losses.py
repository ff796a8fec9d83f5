import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.losses import EndpointLosses, read_losses
from scorers.measures.protocols import GenerationFailure, TokenLosses
from tests.fake_endpoint import Body, Canned, FakeEndpoint, scored, serve


def settings(endpoint: FakeEndpoint) -> EndpointSettings:
    return EndpointSettings(
        endpoint.base_url,
        "m",
        timeout_seconds=5,
        retries=0,
        extra_body={"top_k": -1, "prompt": "overridden"},
    )


def nats(before: int, token: int) -> float:
    return 0.25 + abs(token - before)


def respond(body: Body, attempt: int) -> Canned:
    return scored(body, nats)


def reply(ids: list[int]) -> Mapping[str, Any]:
    body = scored({"prompt": ids}, nats).body
    assert isinstance(body, dict)
    return body


def places(reply: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = reply["choices"][0]["prompt_logprobs"]
    return found


def test_losses_of_the_response_alone_in_the_order_asked() -> None:
    with serve(respond) as endpoint:
        losses = EndpointLosses(settings(endpoint)).token_losses(
            [[1, 5], [9], [4, 4]], [[5, 7], [2, 2, 3], []]
        )
    first, second, empty = losses
    assert isinstance(first, TokenLosses) and isinstance(second, TokenLosses)
    assert isinstance(empty, TokenLosses)
    # 5 after 5 and 7 after 5; 2 after 9, 2 after 2 and 3 after 2.
    np.testing.assert_allclose(first.nll, [0.25, 2.25])
    np.testing.assert_allclose(second.nll, [7.25, 0.25, 1.25])
    assert second.top1.tolist() == [False, True, False]
    assert first.entropy is None and empty.entropy is None
    assert empty.nll.shape == empty.top1.shape == (0,)
    assert first.nll.dtype == np.float32 and first.top1.dtype == empty.top1.dtype == np.bool_


def test_sends_the_ids_as_they_are_and_asks_for_nothing_it_does_not_need() -> None:
    with serve(respond) as endpoint:
        ids = np.array([5, 7])  # a NumPy integer is no JSON
        EndpointLosses(settings(endpoint)).token_losses([[1, 5], [1]], [[*ids], []])
    (received,) = endpoint.received
    assert received.path == "/v1/completions"
    assert received.body == {
        "top_k": -1,
        "model": "m",
        "prompt": [1, 5, 5, 7],
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": 1,
    }


def test_a_row_that_fails_costs_no_other() -> None:
    def refuse_long(body: Body, attempt: int) -> Canned:
        error = {"error": {"message": "maximum context length is 4", "type": "BadRequestError"}}
        return Canned(400, error) if len(body["prompt"]) > 4 else scored(body, nats)

    with serve(refuse_long) as endpoint:
        losses = EndpointLosses(settings(endpoint)).token_losses(
            [[1], [1, 2, 3], [1]], [[1], [4, 5], [2]]
        )
    assert losses[1] == GenerationFailure("context_length", "status 400, BadRequestError")
    assert isinstance(losses[0], TokenLosses) and isinstance(losses[2], TokenLosses)
    np.testing.assert_allclose(losses[2].nll, [1.25])


def test_a_token_of_certainty_has_no_negative_loss_and_nan_stays_nan() -> None:
    answer = reply([1, 2, 3])
    places(answer)[1]["2"]["logprob"] = 1e-7
    places(answer)[2]["3"]["logprob"] = float("nan")
    losses = read_losses(json.loads(json.dumps(answer)), [1], [2, 3])
    assert isinstance(losses, TokenLosses)
    assert losses.nll[0] == 0 and np.isnan(losses.nll[1])


def without_the_field() -> Mapping[str, Any]:
    return {"choices": [{"text": "x"}]}


def with_a_token_in_front() -> Mapping[str, Any]:
    return reply([0, 1, 2, 3])


def with_another_token() -> Mapping[str, Any]:
    return reply([1, 2, 4])


def with_another_prefix() -> Mapping[str, Any]:
    return reply([1, 9, 3])


def without_a_rank() -> Mapping[str, Any]:
    answer = reply([1, 2, 3])
    del places(answer)[2]["3"]["rank"]
    return answer


def with_a_logprob_that_is_text() -> Mapping[str, Any]:
    answer = reply([1, 2, 3])
    places(answer)[2]["3"]["logprob"] = "-1"
    return answer


def with_a_hole() -> Mapping[str, Any]:
    answer = reply([1, 2, 3])
    places(answer)[2] = None
    return answer


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (without_the_field(), "is the server a vLLM"),
        ({"choices": []}, "is the server a vLLM"),
        (with_a_token_in_front(), "4 positions for a prompt of 3 tokens"),
        (with_another_token(), "place 2 does not name its token"),
        (with_another_prefix(), "place 1 does not name its token"),
        (without_a_rank(), "place 2"),
        (with_a_logprob_that_is_text(), "place 2"),
        (with_a_hole(), "place 2"),
    ],
)
def test_a_reply_about_other_tokens_is_malformed(answer: Mapping[str, Any], detail: str) -> None:
    failure = read_losses(answer, [1, 2], [3])
    assert isinstance(failure, GenerationFailure)
    assert failure.reason == "malformed_reply" and detail in failure.detail


def test_what_cannot_be_scored_is_refused_before_any_request() -> None:
    with serve(respond) as endpoint:
        losses = EndpointLosses(settings(endpoint))
        with pytest.raises(ValueError, match="1 prefixes but 2 responses"):
            losses.token_losses([[1]], [[2], [3]])
        with pytest.raises(ValueError, match="a prefix is empty"):
            losses.token_losses([[1], []], [[2], [3]])
        assert losses.token_losses([], []) == []
    assert endpoint.received == []


def test_the_fingerprint_is_that_of_the_served_model() -> None:
    listed = Canned(body={"data": [{"id": "m", "root": "/w/1"}]})
    with serve(lambda body, attempt: listed) as endpoint:
        assert len(EndpointLosses(settings(endpoint)).fingerprint()) == 64
