import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tenacity import RetryCallState

from scorers.measures.endpoint.client import (
    EndpointSettings,
    ServerLostError,
    get_json,
    patience,
    post_all,
    trusted_authorities,
)
from scorers.measures.endpoint.reply import NotNow
from scorers.measures.protocols import GenerationFailure
from tests.fake_endpoint import Body, Canned, FakeEndpoint, ask_all, serve


def settings(endpoint: FakeEndpoint) -> EndpointSettings:
    return EndpointSettings(endpoint.base_url, "m", timeout_seconds=5, backoff_seconds=0.001)


def echo(body: Body, attempt: int) -> Canned:
    return Canned(body=body)


def bodies(count: int) -> list[Body]:
    return [{"row": row} for row in range(count)]


def test_replies_come_in_the_order_asked_not_in_the_order_finished() -> None:
    finished = []

    def last_first(body: Body, attempt: int) -> Canned:
        time.sleep(0.02 * (8 - body["row"]))
        finished.append(body["row"])
        return Canned(body=body)

    with serve(last_first) as endpoint:
        replies = ask_all(settings(endpoint), "p", bodies(8))
    assert finished != sorted(finished)
    assert replies == bodies(8)


def test_never_more_under_way_than_allowed_and_no_fewer() -> None:
    def slow(body: Body, attempt: int) -> Canned:
        time.sleep(0.03)
        return Canned(body=body)

    with serve(slow) as endpoint:
        ask_all(replace(settings(endpoint), max_concurrency=3), "p", bodies(12))
    assert endpoint.most_at_once == 3


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with serve(lambda body, attempt: Canned(status if attempt < 2 else 200, body)) as endpoint:
        assert ask_all(settings(endpoint), "p", bodies(3)) == bodies(3)
    assert len(endpoint.received) == 9


@pytest.mark.parametrize("status", [307, 400, 403, 404, 413, 422])
def test_what_will_not_pass_is_final_and_costs_one_row(status: int) -> None:
    def refuse_one(body: Body, attempt: int) -> Canned:
        bad = body.get("row") == 1 and not is_there(body)
        return Canned(status, {"error": {}}) if bad else Canned(body=body)

    with serve(refuse_one) as endpoint:
        replies = ask_all(settings(endpoint), "p", bodies(3))
    failure = GenerationFailure(f"http_{status}", f"status {status}")
    assert replies == [{"row": 0}, failure, {"row": 2}]
    asked = [is_there(received.body) or received.body["row"] for received in endpoint.received]
    # What may be meant for everybody is asked about once each time, and then tried once more.
    once = status in (400, 413, 422)
    assert sum(each is True for each in asked) == (0 if once else 2)
    assert sum(each is not True and each == 1 for each in asked) == (1 if once else 2)


@pytest.mark.parametrize("status", [302, 307, 403, 404, 405, 410, 451, 500, 501, 520])
def test_what_a_server_tells_everybody_is_no_failure_of_a_row(status: int) -> None:
    headers = {"Location": "https://elsewhere.example/login"} if status < 400 else {}
    with (
        serve(lambda body, attempt: Canned(status, headers=headers)) as endpoint,
        pytest.raises(ServerLostError, match=rf"/v1/p stopped answering: http_{status} ") as lost,
    ):
        ask_all(replace(settings(endpoint), retries=1, max_concurrency=1), "p", bodies(9))
    assert "then run the same command again" in str(lost.value)
    assert status >= 400 or "it sends us to elsewhere.example" in str(lost.value)
    assert {received.body["row"] for received in endpoint.received} == {0}
    assert any(is_there(received.body) for received in endpoint.received)


def test_a_web_page_in_place_of_a_reply_is_the_servers() -> None:
    page = Canned(body=b"<!DOCTYPE html><title>Log in</title>")
    with (
        serve(lambda body, attempt: page) as endpoint,
        pytest.raises(ServerLostError, match=r"web_page .status 200.*no login before it"),
    ):
        ask_all(settings(endpoint), "p", bodies(9))


def test_the_question_of_ours_has_nothing_of_a_row_in_it() -> None:
    def refuse(body: Body, attempt: int) -> Canned:
        return Canned(404)

    chat = {"model": "m", "messages": [{"role": "user", "content": "secret"}], "max_tokens": 512}
    for body in (chat, {"model": "m", "prompt": [7, 8, 9], "prompt_logprobs": 1}):
        with serve(refuse) as endpoint, pytest.raises(ServerLostError):
            ask_all(settings(endpoint), "p", [body])
        ours = endpoint.received[-1].body
        assert ours["max_tokens"] == 1 and "secret" not in str(ours)
        assert ours.get("prompt", [7]) == [7]


def is_there(body: Body) -> bool:
    """Whether the request is the question if the server answers others than a row."""
    return "row" not in body or "prompt" in body


def test_a_row_that_the_server_breaks_on_costs_one_row_once_the_server_is_seen_to_be_there() -> (
    None
):
    def break_on_one(body: Body, attempt: int) -> Canned:
        if is_there(body):
            return Canned(body={"data": []})
        return Canned(500) if body["row"] == 1 else Canned(body=body)

    with serve(break_on_one) as endpoint:
        replies = ask_all(replace(settings(endpoint), retries=2), "p", bodies(3))
    failure = GenerationFailure("http_500", "status 500; attempts: 3")
    assert replies == [{"row": 0}, failure, {"row": 2}]
    asked = [received.body for received in endpoint.received]
    assert asked.count({"row": 1}) == 6 and sum(map(is_there, asked)) == 2


@pytest.mark.parametrize("status", [401, 402, 429, 502, 503, 504])
def test_a_server_that_refuses_everything_is_no_failure_of_a_row(status: int) -> None:
    with (
        serve(lambda body, attempt: Canned(status)) as endpoint,
        pytest.raises(ServerLostError, match=rf"http_{status} .*run the same command again"),
    ):
        ask_all(replace(settings(endpoint), retries=2, max_concurrency=1), "p", bodies(9))
    assert {received.body.get("row") for received in endpoint.received} == {0}


def test_once_a_server_is_lost_nothing_new_is_asked() -> None:
    def refuse_the_first(body: Body, attempt: int) -> Canned:
        if body["row"] == 0:
            return Canned(401)
        time.sleep(0.3)  # long after the refusal
        return Canned(body=body)

    had: dict[int, object] = {}
    with serve(refuse_the_first) as endpoint, pytest.raises(ServerLostError):
        two = replace(settings(endpoint), max_concurrency=2)
        post_all(two, "p", bodies(9), had.__setitem__)
    assert len(endpoint.received) == 2 and had == {1: {"row": 1}}, "what was under way is kept"


def test_what_a_server_answered_before_it_went_is_handed_over() -> None:
    with serve(echo) as endpoint:

        def go(body: Body, attempt: int) -> Canned:
            endpoint.gone = body["row"] == 3
            return Canned(body=body)

        endpoint.respond = go
        had: dict[int, object] = {}
        one_by_one = replace(settings(endpoint), max_concurrency=1, retries=1)
        with pytest.raises(ServerLostError, match="stopped answering: no_connection"):
            post_all(one_by_one, "p", bodies(9), had.__setitem__)
    assert had == {row: {"row": row} for row in range(4)}
    assert len(endpoint.received) == 4


def test_a_server_that_was_away_and_is_back_is_asked_once_more() -> None:
    def come_back(body: Body, attempt: int) -> Canned:
        if is_there(body):
            return Canned(body={"data": []})
        return Canned(500) if attempt < 2 else Canned(body=body)

    with serve(come_back) as endpoint:
        assert ask_all(replace(settings(endpoint), retries=1), "p", bodies(1)) == bodies(1)


def test_waits_as_long_as_the_server_asks() -> None:
    def busy(body: Body, attempt: int) -> Canned:
        headers = {"Retry-After": "0.3"}
        return Canned(429, headers=headers) if attempt == 0 else Canned(body=body)

    with serve(busy) as endpoint:
        started = time.monotonic()
        assert ask_all(settings(endpoint), "p", bodies(1)) == bodies(1)
    assert time.monotonic() - started >= 0.3


def test_does_not_wait_for_a_server_that_asks_for_too_long() -> None:
    with (
        serve(lambda body, attempt: Canned(429, headers={"Retry-After": "3600"})) as endpoint,
        pytest.raises(ServerLostError, match=r"http_429 .status 429; attempts: 1"),
    ):
        ask_all(settings(endpoint), "p", bodies(1))


TOMORROW = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)


@pytest.mark.parametrize("date", [TOMORROW, "Fri, 31 Dec 9999 23:59:59 -2359"], ids=["near", "far"])
def test_retry_after_may_be_a_date(date: str) -> None:
    with (
        serve(lambda body, attempt: Canned(503, headers={"Retry-After": date})) as endpoint,
        pytest.raises(ServerLostError),
    ):
        ask_all(settings(endpoint), "p", bodies(1))
    assert len(endpoint.received) == 1  # a day is longer than the longest wait


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "-5",
        "nan",
        "1e9",
        "1" * 5000,
        "\u0663",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 +99999999999999",
    ],
)
def test_a_retry_after_that_says_nothing_is_ignored(value: str) -> None:
    def busy(body: Body, attempt: int) -> Canned:
        headers = {"Retry-After": value}
        return Canned(429, headers=headers) if attempt == 0 else Canned(body=body)

    with serve(busy) as endpoint:
        assert ask_all(settings(endpoint), "p", bodies(1)) == bodies(1)


PATIENT = EndpointSettings("http://h/v1", "m", backoff_seconds=1, longest_wait_seconds=5)


def pause_after(attempt: int, salt: int = 0, retry_after: float = 0.0) -> float:
    retrying = patience(PATIENT, salt)
    state = RetryCallState(retrying, None, (), {})
    state.attempt_number = attempt
    state.set_result(NotNow(GenerationFailure("http_429", ""), retry_after))
    pause: float = retrying.wait(state)
    return pause


def test_pauses_double_are_spread_and_can_be_repeated() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, 41)]
    for doubled, pause in enumerate(pauses):
        longest = min(2**doubled, 5)
        assert longest / 2 <= pause <= longest
    assert pauses == [pause_after(attempt) for attempt in range(1, 41)]
    assert len({pause_after(1, salt) for salt in range(100)}) == 100
    assert pause_after(1, retry_after=4.0) == 4.0


def test_a_server_that_hangs_is_a_timeout_and_the_retry_may_succeed() -> None:
    def hang_once(body: Body, attempt: int) -> Canned:
        if body.get("row") == 1 and (attempt == 0 or body.get("again")) and not is_there(body):
            time.sleep(0.5)
        return Canned(body=body)

    with serve(hang_once) as endpoint:
        quick = replace(settings(endpoint), timeout_seconds=0.2)
        assert ask_all(quick, "p", bodies(3)) == bodies(3)
        one_try = replace(quick, retries=0)
        late = {"row": 1, "again": True}
        assert ask_all(one_try, "p", [late]) == [
            GenerationFailure("timeout", "no answer in 0.2 s; attempts: 1")
        ]


def test_no_server_is_no_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = EndpointSettings(
            f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "m", retries=1, backoff_seconds=0.001
        )
        with pytest.raises(ServerLostError, match=r"no_connection .ConnectError"):
            ask_all(nowhere, "p", bodies(2))


@pytest.mark.parametrize("content", [b"{half", b"\xff\xfe", b"", b"[1]", b"[" * 100_000])
def test_a_body_that_is_no_object_is_malformed_and_final(content: bytes) -> None:
    with serve(lambda body, attempt: Canned(body=content)) as endpoint:
        (reply,) = ask_all(settings(endpoint), "p", bodies(1))
    assert isinstance(reply, GenerationFailure) and reply.reason == "malformed_reply"
    assert len(endpoint.received) == 1


def test_a_prompt_that_does_not_fit_has_its_own_reason() -> None:
    message = "This model's maximum context length is 1024 tokens. Your prompt has 2000."
    error = {"error": {"message": message, "type": "BadRequestError", "code": 400}}
    with serve(lambda body, attempt: Canned(400, error)) as endpoint:
        replies = ask_all(settings(endpoint), "p", bodies(1))
    assert replies == [GenerationFailure("context_length", "status 400, BadRequestError")]


def test_what_a_server_says_of_the_prompt_is_not_kept() -> None:
    error = {"error": {"message": "bad: my secret", "type": "my secret", "code": "bad_input"}}
    with serve(lambda body, attempt: Canned(400, error)) as endpoint:
        replies = ask_all(settings(endpoint), "p", bodies(1))
    assert replies == [GenerationFailure("http_400", "status 400, bad_input")]


def test_the_key_is_sent_and_neither_shown_nor_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-123456")
    caplog.set_level(logging.DEBUG)
    with serve(lambda body, attempt: Canned(403 if attempt else 500)) as endpoint:
        with_key = replace(settings(endpoint), api_key_variable="TEST_KEY")
        with pytest.raises(ServerLostError) as lost:
            ask_all(with_key, "p", [{"text": "the row's content"}])
    assert endpoint.received[0].headers["Authorization"] == "Bearer sk-123456"
    for shown in (repr(with_key), str(lost.value), caplog.text):
        assert "sk-123456" not in shown and "the row's content" not in shown


def test_a_key_that_is_not_set_is_an_error_before_any_request() -> None:
    with serve(echo) as endpoint:
        without = replace(settings(endpoint), api_key_variable="NO_SUCH_VARIABLE")
        with pytest.raises(ValueError, match="NO_SUCH_VARIABLE is not set"):
            ask_all(without, "p", bodies(1))
    assert endpoint.received == []


@pytest.mark.parametrize(
    ("base_url", "problem"),
    [
        ("127.0.0.1:8000/v1", "must start with http"),
        ("file:///etc", "must start with http"),
        ("http://user:pass@host/v1", "no credentials"),
        ("http://host:port/v1", "not a URL"),
    ],
)
def test_an_address_that_cannot_work_is_refused(base_url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        EndpointSettings(base_url, "m")
    assert "pass@" not in str(error.value)


def test_paths_are_joined_below_the_base() -> None:
    with serve(echo) as endpoint:
        get_json(settings(endpoint), "models")
        get_json(replace(settings(endpoint), base_url=endpoint.base_url + "/"), "models")
    assert [request.path for request in endpoint.received] == ["/v1/models"] * 2


def test_a_stray_surrogate_costs_no_other_row() -> None:
    with serve(echo) as endpoint:
        replies = ask_all(settings(endpoint), "p", [{"text": "\ud800"}, {"text": "ü"}])
    assert replies == [{"text": "\ud800"}, {"text": "ü"}]


def test_nothing_asked_opens_nothing() -> None:
    assert ask_all(EndpointSettings("http://192.0.2.1/v1", "m"), "p", []) == []


def test_ctrl_c_stops_what_is_under_way() -> None:
    def hang(body: Body, attempt: int) -> Canned:
        time.sleep(1)
        return Canned(body=body)

    with serve(hang) as endpoint:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        started = time.monotonic()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            ask_all(replace(settings(endpoint), max_concurrency=4), "p", bodies(100))
        assert time.monotonic() - started < 0.9  # did not wait for the answers
        timer.join()
        assert len(endpoint.received) == 4  # and asked for no more
    assert asyncio.run(asyncio.sleep(0, "usable")) == "usable"


def test_a_server_that_lists_models_and_answers_nothing_is_lost() -> None:
    def hang(body: Body, attempt: int) -> Canned:
        time.sleep(0.4 if body else 0)
        return Canned(body={"data": [{"id": "m"}]})

    with serve(hang) as endpoint:
        quick = replace(settings(endpoint), timeout_seconds=0.1, retries=0, max_concurrency=1)
        with pytest.raises(ServerLostError, match="stopped answering: timeout"):
            ask_all(quick, "p", bodies(9))
        assert {received.body["row"] for received in endpoint.received} == {0}


def test_certificates_are_read_once_and_still_asked_for() -> None:
    assert trusted_authorities() is trusted_authorities()
    assert trusted_authorities().verify_mode is ssl.CERT_REQUIRED
    assert trusted_authorities().check_hostname
