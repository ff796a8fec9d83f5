"""Ask an OpenAI-compatible server many things at once, and lose none of them.

`post_all` sends a list of JSON bodies to one path and returns the replies in the order of the
bodies, however the server finished them. At most `max_concurrency` are under way at a time. What
may pass is tried again: no connection, a timeout, and the statuses 408, 409, 429 and 5xx, after a
pause that doubles and is never shorter than the server's Retry-After. Everything else is final.
A body without a reply gets a GenerationFailure in its place: the others are not affected. But a
server that is gone is nobody's failure: where a body has no retry left, the server is asked whether
it is there. If it is, the body is tried once more, and what it then gets is its own. If not, no new
body is sent, and ServerLostError is raised when those under way have ended. So it is where the
server refuses us and not the body: the key, the account or the rate.

What it does not do: log, or keep, what was sent or received (request_cache.py keeps replies, where
a caller asks for it); follow redirects (a POST would lose its body or its key); stream. A timeout
does not stop the server, so a request that is sent again may be paid for twice.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import httpx

from scorers.measures.protocols import GenerationFailure

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

JsonReply: TypeAlias = Mapping[str, Any]
Reply: TypeAlias = JsonReply | GenerationFailure

MAY_PASS = frozenset({408, 409, 429})
"""Statuses below 500 that say "not now" and not "never"."""

REFUSES_US = frozenset({"http_401", "http_402", "http_429", "http_502", "http_503", "http_504"})
"""Reasons that any body would have been given: key, account, rate, or nothing behind a gateway."""

MAY_BE_LOST = frozenset({"no_connection", "timeout", "http_408", "http_500"})
"""Reasons that a body may have caused, or that the server is gone: it is asked which."""

HEARINGS = 2
"""How often a body is tried, each time with all retries, while the server is there."""

CONNECT_SECONDS = 10.0
"""A host that does not answer at all is given up sooner than one that computes."""

TOO_LONG = re.compile(r"context[ _](length|window|size)|maximum length|too many tokens", re.I)
"""How servers say that a prompt does not fit; there is no status of its own for it."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where a model is served, and how hard to press it."""

    base_url: str
    """Up to and with the version, such as "http://127.0.0.1:8000/v1"."""
    model: str
    """The name the server gives the model."""
    api_key_variable: str | None = None
    """Name of the environment variable with the key. The key itself is read for each call and
    kept nowhere."""
    max_concurrency: int = 16
    """Requests under way at a time."""
    timeout_seconds: float = 300.0
    """For one attempt, from connecting to the last byte."""
    retries: int = 5
    """Attempts after the first."""
    backoff_seconds: float = 1.0
    """Pause before the first retry; it doubles with each."""
    longest_wait_seconds: float = 60.0
    """No pause is longer; a server that asks for more is taken to have refused."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Which name the server knows. Nearly all know the first; OpenAI's newest only the second."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Sent with every request, such as {"chat_template_kwargs": {"enable_thinking": False}}."""
    cache: Path | None = None
    """Folder of the replies that were had; see request_cache.py. None: nothing is kept."""

    def __post_init__(self) -> None:
        """Refuse what could not work, before a request is spent on it."""
        try:
            url = httpx.URL(self.base_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"base_url is not a URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(
                f"base_url must start with http:// or https:// and name a host, got {url.scheme!r}"
            )
        if url.userinfo:
            raise ValueError("base_url must hold no credentials; use api_key_variable")
        if self.max_concurrency < 1 or self.retries < 0 or self.timeout_seconds <= 0:
            raise ValueError(
                "max_concurrency must be at least 1, retries not negative and timeout_seconds "
                f"above 0, got {self.max_concurrency}, {self.retries}, {self.timeout_seconds}"
            )


class ServerLostError(RuntimeError):
    """The server went away, or refuses everything; what it had answered is with the caller."""

    exit_code: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class _NotNow:
    """An attempt that failed in a way that may pass."""

    failure: GenerationFailure
    retry_after_seconds: float = 0.0


def post_all(
    settings: EndpointSettings,
    path: str,
    bodies: Sequence[JsonReply],
    on_reply: Callable[[int, Reply], None] | None = None,
) -> list[Reply]:
    """Send every body to `path`; one reply or failure for each, in the same order.

    `on_reply` is given the index of a body and its reply as soon as that is there.

    Ctrl-C cancels what is under way, closes the connections and raises KeyboardInterrupt.

    Raises:
        ServerLostError: if the server is gone, or refuses us; `on_reply` has had what it answered.
        ValueError: if the environment variable with the key is not set.
        RuntimeError: if called from a running event loop; call it from a thread there.
    """
    return asyncio.run(_post_all(settings, path, bodies, on_reply)) if bodies else []


def get_json(settings: EndpointSettings, path: str) -> Reply:
    """Read one JSON object from `path`, with the same patience.

    Raises:
        ValueError, RuntimeError: as `post_all`.
    """
    return asyncio.run(_get(settings, path))


async def _post_all(
    settings: EndpointSettings,
    path: str,
    bodies: Sequence[JsonReply],
    on_reply: Callable[[int, Reply], None] | None,
) -> list[Reply]:
    replies: dict[int, Reply] = {}
    waiting: Iterator[tuple[int, JsonReply]] = iter(enumerate(bodies))  # shared by the workers
    lost: list[ServerLostError] = []

    async def work() -> None:
        for index, body in waiting:
            if lost:
                return
            # Escaped to ASCII: a stray surrogate is then the server's to refuse, for one row.
            request = client.build_request("POST", path, content=json.dumps(body).encode())
            try:
                replies[index] = await _hear(client, request, settings, salt=index)
            except ServerLostError as error:  # others under way may still be answered
                lost.append(error)
                return
            if on_reply is not None:
                on_reply(index, replies[index])

    async with _open_client(settings) as client, asyncio.TaskGroup() as workers:
        for _ in range(min(settings.max_concurrency, len(bodies))):
            workers.create_task(work())
    if lost:
        raise lost[0]
    return [replies[index] for index in range(len(bodies))]


async def _hear(
    client: httpx.AsyncClient, request: httpx.Request, settings: EndpointSettings, salt: int
) -> Reply:
    """Try a request to its end, and a second time if the server was away and is back."""
    for _ in range(HEARINGS):
        tried = patience(settings, salt)
        reply: Reply = await tried(_attempt, client, request, settings.timeout_seconds)
        if not isinstance(reply, GenerationFailure):
            return reply
        if reply.reason in REFUSES_US:
            raise _lost(settings, reply)
        if reply.reason not in MAY_BE_LOST:
            return reply
        there = await _attempt(client, client.build_request("GET", "models"), CONNECT_SECONDS)
        if isinstance(there, _NotNow):
            raise _lost(settings, there.failure)
    return reply


def _lost(settings: EndpointSettings, failure: GenerationFailure) -> ServerLostError:
    return ServerLostError(
        f"{settings.base_url} stopped answering: {failure.reason} ({failure.detail}). What it had "
        "answered is kept and is not asked again; when it is back, run the same command again"
    )


async def _get(settings: EndpointSettings, path: str) -> Reply:
    async with _open_client(settings) as client:
        request = client.build_request("GET", path)
        reply: Reply = await patience(settings, salt=0)(
            _attempt, client, request, settings.timeout_seconds
        )
        return reply


def _open_client(settings: EndpointSettings) -> httpx.AsyncClient:
    headers = {"Content-Type": "application/json"}
    if settings.api_key_variable is not None:
        key = os.environ.get(settings.api_key_variable)
        if not key:
            raise ValueError(f"the environment variable {settings.api_key_variable} is not set")
        headers["Authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(
        base_url=settings.base_url.rstrip("/") + "/",  # paths are relative to it
        headers=headers,
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # the rest is timed in _attempt
        limits=httpx.Limits(max_connections=settings.max_concurrency),
    )


def patience(settings: EndpointSettings, salt: int) -> "AsyncRetrying":
    """When to try again, and what is said when not.

    Half of a pause is drawn from (salt, attempt), so that requests refused together do not come
    back together, and the same run pauses alike. Retry-After is a floor.
    """
    # Only who asks an endpoint needs the library.
    from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_exponential

    doubled = wait_exponential(settings.backoff_seconds, settings.longest_wait_seconds)

    def pause(state: RetryCallState) -> float:
        drawn = Random(f"{salt}/{state.attempt_number}").uniform(0.5, 1)
        return max(doubled(state) * drawn, _outcome(state).retry_after_seconds)

    def no_more(state: RetryCallState) -> bool:
        spent = state.attempt_number > settings.retries  # the first attempt is no retry
        return spent or state.upcoming_sleep > settings.longest_wait_seconds

    def give_up(state: RetryCallState) -> GenerationFailure:
        failure = _outcome(state).failure
        detail = f"{failure.detail}; attempts: {state.attempt_number}"
        return GenerationFailure(failure.reason, detail)

    return AsyncRetrying(
        retry=retry_if_result(lambda outcome: isinstance(outcome, _NotNow)),
        wait=pause,
        stop=no_more,
        retry_error_callback=give_up,
    )


def _outcome(state: "RetryCallState") -> _NotNow:
    assert state.outcome is not None  # the library asks after an attempt, never before
    outcome: _NotNow = state.outcome.result()
    return outcome


async def _attempt(
    client: httpx.AsyncClient, request: httpx.Request, timeout_seconds: float
) -> Reply | _NotNow:
    try:
        # Not httpx's own timeout, which times each read alone: a server that sends a byte a minute
        # would hold it for ever.
        async with asyncio.timeout(timeout_seconds):
            response = await client.send(request)
    except TimeoutError:
        return _NotNow(GenerationFailure("timeout", f"no answer in {timeout_seconds:g} s"))
    except httpx.TransportError as error:
        return _NotNow(GenerationFailure("no_connection", type(error).__name__))
    except httpx.RequestError as error:  # such as a body that cannot be decoded
        return GenerationFailure("malformed_reply", type(error).__name__)
    if response.status_code in MAY_PASS or response.status_code >= 500:
        return _NotNow(_refusal(response), _retry_after_seconds(response))
    return _read_json(response) if response.is_success else _refusal(response)


def _read_json(response: httpx.Response) -> Reply:
    try:
        body = response.json()
    except (ValueError, RecursionError):  # the latter for brackets in brackets without end
        return GenerationFailure("malformed_reply", "the body is not JSON")
    if not isinstance(body, dict):
        kind = type(body).__name__  # not what it holds, which may be a prompt
        return GenerationFailure("malformed_reply", f"expected a JSON object, got {kind}")
    return body


def _refusal(response: httpx.Response) -> GenerationFailure:
    """Name an error status. The server's message is not kept: it may quote the prompt."""
    reason = f"http_{response.status_code}"
    if response.status_code in (400, 413, 422) and TOO_LONG.search(response.text):
        reason = "context_length"
    body = _read_json(response)
    error = body.get("error") if isinstance(body, Mapping) else None
    named = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    codes = [code for code in named if isinstance(code, str) and re.fullmatch(r"\w{1,64}", code)]
    return GenerationFailure(reason, ", ".join([f"status {response.status_code}", *codes]))


def _retry_after_seconds(response: httpx.Response) -> float:
    """Seconds the server asked for, by a number or a date; 0 where it did not."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d*)?", value):  # no sign, no exponent, no infinity
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)  # "-0000": UTC, of unknown place
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
