"""Ask an OpenAI-compatible server many things at once, and lose none of them.

`post_all` sends a list of JSON bodies to one path and returns what was read of the replies in the
order of the bodies, however the server finished them. A reply is read as it comes and then let go:
it may be many times what is made of it. At most `max_concurrency` are under way at a time. What
may pass is tried again: no connection, a timeout, and the statuses 408, 409, 429 and 5xx, after a
pause that doubles and is never shorter than the server's Retry-After. Everything else is final.
A body without a reply gets a GenerationFailure in its place: the others are not affected. But a
server that is gone, or refuses everybody, is no row's failure: where a body has no retry left and
the reason may be general, the server is asked something else. If that is answered, the body is
tried once more, and what it then gets is its own. If not, no new body is sent, and ServerLostError
is raised when those under way have ended. So it is at once where the server refuses us and not the
body: the key, the account or the rate.

What it does not do: log, or keep, what was sent or received (request_cache.py keeps replies, where
a caller asks for it); follow redirects (a POST would lose its body or its key); stream. A timeout
does not stop the server, so a request that is sent again may be paid for twice.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import httpx

from scorers.measures.endpoint.forms import FormsOf
from scorers.measures.endpoint.reply import JsonReply, NotNow, Reply, keep_location, read_reply
from scorers.measures.protocols import GenerationFailure

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

Read = TypeVar("Read")

REFUSES_US = frozenset({"http_401", "http_402", "http_429", "http_502", "http_503", "http_504"})
"""Reasons that any body would have been given: key, account, rate, or nothing behind a gateway."""

MAY_BE_LOST = frozenset({"no_connection", "timeout", "http_408"})
"""Reasons that a server is gone for, if it is not the body that it breaks on."""

OF_THE_BODY = frozenset(
    {"context_length", "malformed_reply", "reply_too_large", "http_400", "http_413", "http_422"}
)
"""Reasons that are those of the body that was sent. Any other, such as the status 404 or a web page
in place of a reply, may be what everybody is told: a question of ours shows it."""

ADVICE = {
    "http_401": "See that the key is set (`api_key_variable`) and valid",
    "http_402": "See to the account that the key belongs to",
    "http_403": "See what the key may do, and that the model is open to it",
    "http_404": "See that base_url ends as the server's API does, such as in /v1, and that it "
    "still serves the model",
    "http_429": "It takes no more for now: lower max_concurrency, or see to the account's limits",
    "web_page": "A web page answers there: see that base_url is the API's, with no login before it",
}
"""What to do, by the reason; a redirect leads elsewhere, and the rest is the server's to mend."""

MAY_BE_OF_THE_FORM = frozenset({"http_400", "http_404", "http_415", "http_422", "http_501"})
"""Reasons that a server may have against the form of the answer that a body asks for."""

FORM_FIELDS = frozenset({"response_format", "structured_outputs"})
"""Where a body asks for a form of the answer; it asks for the options' probabilities with it."""

OF_A_FORM = FORM_FIELDS | {"logprobs", "top_logprobs"}

HEARINGS = 2
"""How often a body is tried, each time with all retries, while the server is there."""

CONNECT_SECONDS = 10.0
"""A host that does not answer at all is given up sooner than one that computes."""


@dataclass(frozen=True, slots=True)
class BatchUse:
    """How a server is asked in batch files; see batch_files.py."""

    poll_seconds: float = 60.0
    """Between two looks at a batch."""
    window: str = "24h"
    """In which it is to be done; servers take no other."""
    most_requests: int = 50_000
    """Of one batch."""


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
    forms: FormsOf = "json_schema"
    """How it is told the form of an answer; see forms.py."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Sent with every request, such as {"chat_template_kwargs": {"enable_thinking": False}}."""
    batch: BatchUse | None = None
    """How it is asked in batch files; None: request by request."""
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


class FormRefusedError(ValueError):
    """The server answers, but not in the form that is asked for."""

    exit_code: ClassVar[int] = 2


def post_all(
    settings: EndpointSettings,
    path: str,
    bodies: Sequence[JsonReply],
    read: Callable[[int, Reply], Read],
) -> list[Read]:
    """Send every body to `path`; what is read of each reply or failure, in the same order.

    Args:
        settings: the server, and how hard to press it.
        path: below the base.
        bodies: what is asked.
        read: is given the index of a body and its reply as soon as that is there; only what it
            returns is kept.

    Ctrl-C cancels what is under way, closes the connections and raises KeyboardInterrupt.

    Raises:
        ServerLostError: if the server is gone, or refuses us; `read` has had what it answered.
        FormRefusedError: if it refuses the form of the answer that a body asks for.
        ValueError: if the environment variable with the key is not set.
        RuntimeError: if called from a running event loop; call it from a thread there.
    """
    return asyncio.run(_post_all(settings, path, bodies, read)) if bodies else []


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
    read: Callable[[int, Reply], Read],
) -> list[Read]:
    found: dict[int, Read] = {}
    waiting: Iterator[tuple[int, JsonReply]] = iter(enumerate(bodies))  # shared by the workers
    lost: list[ServerLostError | FormRefusedError] = []

    async def work() -> None:
        for index, body in waiting:
            if lost:
                return
            request = post_json(client, path, body)
            try:
                reply = await _hear(client, request, settings, body, index)
            except (ServerLostError, FormRefusedError) as error:  # others may still be answered
                lost.append(error)
                return
            found[index] = read(index, reply)
            del reply  # not held while the next is waited for

    async with open_client(settings) as client, asyncio.TaskGroup() as workers:
        for _ in range(min(settings.max_concurrency, len(bodies))):
            workers.create_task(work())
    if lost:
        raise lost[0]
    return [found[index] for index in range(len(bodies))]


async def _hear(
    client: httpx.AsyncClient,
    request: httpx.Request,
    settings: EndpointSettings,
    body: JsonReply,
    salt: int,
) -> Reply:
    """Try a request to its end, and a second time if it was refused and others are not."""
    for _ in range(HEARINGS):
        tried = patience(settings, salt)
        reply: Reply = await tried(attempt, client, request, settings.timeout_seconds)
        if not isinstance(reply, GenerationFailure):
            return reply
        if reply.reason in MAY_BE_OF_THE_FORM and not FORM_FIELDS.isdisjoint(body):
            await _require_form(client, request, settings, body, reply)
        if reply.reason in OF_THE_BODY:
            return reply
        if reply.reason in REFUSES_US:
            raise _lost(request, reply)
        await _require_server(client, request, settings, body, reply)
    return reply


async def _require_server(
    client: httpx.AsyncClient,
    request: httpx.Request,
    settings: EndpointSettings,
    body: JsonReply,
    failure: GenerationFailure,
) -> None:
    """See whether the server answers others than the body that failed.

    It is asked the least there is to ask at the same place: its list of models may be there for
    everybody, while nothing is behind it.

    Raises:
        ServerLostError: if it does not.
    """
    given = settings
    if failure.reason in MAY_BE_LOST:
        given = replace(settings, retries=0)  # it was given time enough to come back
    said = await _ask_beside(client, request, given, _least_question(settings, body))
    if isinstance(said, GenerationFailure) and said.reason not in OF_THE_BODY:
        raise _lost(request, said)


async def _require_form(
    client: httpx.AsyncClient,
    request: httpx.Request,
    settings: EndpointSettings,
    body: JsonReply,
    failure: GenerationFailure,
) -> None:
    """See whether the server answers others in the form that a body asks for.

    Raises:
        FormRefusedError: if it answers them only where no form is asked for.
    """
    asked = _least_question(settings, body)
    plain = {name: value for name, value in asked.items() if name not in OF_A_FORM}
    for question, is_plain in ((asked, False), (plain, True)):
        said = await _ask_beside(client, request, settings, question)
        refused = isinstance(said, GenerationFailure) and said.reason in MAY_BE_OF_THE_FORM
        if not refused and not is_plain:
            return  # it is the body's own
        if not refused:
            named = ", ".join(sorted(OF_A_FORM & body.keys()))
            raise FormRefusedError(
                f"{request.url} takes no {named} ({failure.reason}, {failure.detail}). Set `forms` "
                "of the endpoint to what it knows: structured_outputs for vLLM, json_schema for "
                "most others, or none, by which answers may be of any form"
            )


async def _ask_beside(
    client: httpx.AsyncClient, request: httpx.Request, settings: EndpointSettings, body: JsonReply
) -> Reply:
    """Ask something else at the place of a request."""
    ours = post_json(client, request.url, body)
    reply: Reply = await patience(settings, salt=0)(attempt, client, ours, settings.timeout_seconds)
    return reply


def post_json(client: httpx.AsyncClient, path: httpx.URL | str, body: JsonReply) -> httpx.Request:
    """A request with a JSON body."""
    # Escaped to ASCII: a stray surrogate is then the server's to refuse, for one row.
    content = json.dumps(body).encode()
    return client.build_request(
        "POST", path, content=content, headers={"Content-Type": "application/json"}
    )


def _least_question(settings: EndpointSettings, body: JsonReply) -> JsonReply:
    """The question of a body with another text: nothing of its row is in it but a first token."""
    asked: JsonReply = {"prompt": body.get("prompt", "Hello")[:1]}
    if "messages" in body:
        asked = {"messages": [{"role": "user", "content": "Hello"}]}
    form = {name: value for name, value in body.items() if name != "tools"}
    return {**form, settings.length_field: 1, **asked}


def _lost(request: httpx.Request, failure: GenerationFailure) -> ServerLostError:
    moved = "See that base_url is where the API is, and not what leads there"
    other = moved if failure.reason.startswith("http_3") else "Wait until it is back"
    return ServerLostError(
        f"{request.url} stopped answering: {failure.reason} ({failure.detail}). "
        f"{ADVICE.get(failure.reason, other)}; then run the same command again: what is stored is "
        "kept, and no row is marked as failed for this"
    )


async def _get(settings: EndpointSettings, path: str) -> Reply:
    async with open_client(settings) as client:
        request = client.build_request("GET", path)
        reply: Reply = await patience(settings, salt=0)(
            attempt, client, request, settings.timeout_seconds
        )
        return reply


def open_client(settings: EndpointSettings) -> httpx.AsyncClient:
    """A client of the server, with its key.

    Raises:
        ValueError: if the environment variable with the key is not set.
    """
    headers = {"Accept-Encoding": "gzip"}
    if settings.api_key_variable is not None:
        key = os.environ.get(settings.api_key_variable)
        if not key:
            raise ValueError(f"the environment variable {settings.api_key_variable} is not set")
        headers["Authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(
        base_url=settings.base_url.rstrip("/") + "/",  # paths are relative to it
        headers=headers,
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # the rest is timed in attempt
        limits=httpx.Limits(max_connections=settings.max_concurrency),
        verify=trusted_authorities(),
        event_hooks={"response": [keep_location]},
    )


@cache
def trusted_authorities() -> ssl.SSLContext:
    """What httpx trusts by itself, read once: each client would take 28 ms for it."""
    return httpx.create_ssl_context()


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
        retry=retry_if_result(lambda outcome: isinstance(outcome, NotNow)),
        wait=pause,
        stop=no_more,
        retry_error_callback=give_up,
    )


def _outcome(state: "RetryCallState") -> NotNow:
    assert state.outcome is not None  # the library asks after an attempt, never before
    outcome: NotNow = state.outcome.result()
    return outcome


async def attempt(
    client: httpx.AsyncClient, request: httpx.Request, timeout_seconds: float
) -> Reply | NotNow:
    """Send a request once."""
    try:
        # Not httpx's own timeout, which times each read alone: a server that sends a byte a minute
        # would hold it for ever.
        async with asyncio.timeout(timeout_seconds):
            response = await client.send(request, stream=True)
            try:
                return await read_reply(response)
            finally:
                await response.aclose()
    except TimeoutError:
        return NotNow(GenerationFailure("timeout", f"no answer in {timeout_seconds:g} s"))
    except httpx.TransportError as error:
        return NotNow(GenerationFailure("no_connection", type(error).__name__))
