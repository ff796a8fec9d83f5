"""An OpenAI-compatible server on the loopback, whose answers a test writes.

A real one, with sockets and threads, so that retries, timeouts and concurrency are those of the
real client.
"""

import gzip
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

from scorers.measures.endpoint.client import EndpointSettings, post_all
from scorers.measures.endpoint.reply import Reply

Body = dict[str, Any]


@dataclass(frozen=True)
class Canned:
    """What the server sends back."""

    status: int = 200
    body: object = None
    """Sent as JSON; bytes are sent as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""
    """Sent in place of all that, and the connection is closed."""
    drip_seconds: float = 0.0
    """Before each byte of the body."""


Route = Callable[[str, str, dict[str, str], bytes], Canned | None]
"""(method, path, headers, content) → the reply."""

BROKEN: dict[str, tuple[Canned, str]] = {
    "truncated": (Canned(body=b'{"choices": [{"mess'), "malformed_reply"),
    "empty": (Canned(body=b""), "malformed_reply"),
    "another encoding": (Canned(body='{"choices": "é"}'.encode("latin-1")), "malformed_reply"),
    "half a pair in bytes": (Canned(body=b'"\xed\xa0\x80"'), "malformed_reply"),
    "a list": (Canned(body=[{}]), "malformed_reply"),
    "null": (Canned(body=None), "malformed_reply"),
    "a number beyond all": (Canned(body=b"1e999"), "malformed_reply"),
    "a number of 5000 digits": (Canned(body=b'{"choices": %s}' % (b"1" * 5000)), "malformed_reply"),
    "NaN": (Canned(body=b"NaN"), "malformed_reply"),
    "brackets without end": (Canned(body=b'{"a": ' + b"[" * 100_000), "malformed_reply"),
    "an event stream": (Canned(body=b'data: {"choices": []}\n\n'), "malformed_reply"),
    "not packed": (Canned(body={}, headers={"Content-Encoding": "gzip"}), "malformed_reply"),
    "packed in half": (
        Canned(body=gzip.compress(b"{}" * 99)[:20], headers={"Content-Encoding": "gzip"}),
        "malformed_reply",
    ),
    "packed otherwise": (Canned(body={}, headers={"Content-Encoding": "br"}), "malformed_reply"),
    "packed twice": (
        Canned(body={}, headers={"Content-Encoding": "gzip, gzip"}),
        "malformed_reply",
    ),
    "a bomb": (
        Canned(body=gzip.compress(bytes(1 << 23), 1), headers={"Content-Encoding": "gzip"}),
        "reply_too_large",
    ),
    "without end": (Canned(body=bytes(1 << 23)), "reply_too_large"),
    "redirect to itself": (Canned(302, headers={"Location": "/v1/again"}), "http_302"),
    "redirect to nowhere": (Canned(308, headers={"Location": ""}), "http_308"),
    "refused": (Canned(403, b"<html>"), "http_403"),
    "an error in an odd charset": (
        Canned(400, b"\xff", {"Content-Type": "application/json; charset=base64"}),
        "http_400",
    ),
    "an error of odd types": (Canned(422, {"error": {"code": [1], "type": "\ud800"}}), "http_422"),
    "a status of its own": (Canned(299, b"<"), "web_page"),
    "a redirect to no URL": (Canned(302, headers={"Location": "data:,x"}), "http_302"),
    "a redirect to half a URL": (Canned(302, headers={"Location": "http://[::1"}), "http_302"),
    "no HTTP": (Canned(raw=b"garbage\r\n\r\n"), "no_connection"),
    "no text": (Canned(raw=b"\x00\xff\xfe"), "no_connection"),
    "a hang-up": (Canned(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), "no_connection"),
    "a length below 0": (
        Canned(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
        "no_connection",
    ),
    "headers without end": (
        Canned(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n{}"),
        "no_connection",
    ),
    "chunks that are none": (
        Canned(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}"),
        "no_connection",
    ),
}
"""What a server can send to any question that is no reply, and the reason it stands for."""


@dataclass
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Body


class FakeEndpoint:
    """Answers each request with `respond(body, attempt)`; attempt counts equal bodies from 0."""

    def __init__(self, respond: Callable[[Body, int], Canned]) -> None:
        self.respond = respond
        self.received: list[Received] = []
        self.most_at_once = 0
        self.base_url = ""
        self.gone = False
        """Every connection is closed without an answer, as if the process had ended."""
        self._lock = threading.Lock()
        self._at_once = 0

    def answer(self, request: Received) -> Canned:
        with self._lock:
            attempt = sum(earlier.body == request.body for earlier in self.received)
            self.received.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.respond(request.body, attempt)
        finally:
            with self._lock:
                self._at_once -= 1


@contextmanager
def serve(
    respond: Callable[[Body, int], Canned], route: Route | None = None
) -> Iterator[FakeEndpoint]:
    """Run a FakeEndpoint on a free port until the block is left.

    Args:
        respond: to a question.
        route: replies to what is no question; None from it: it is one.
    """
    endpoint = FakeEndpoint(respond)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or a body waits 40 ms for its headers to be acknowledged

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not routed(self, None if endpoint.gone else route, content):
                self.handle_json(json.loads(content))

        def do_GET(self) -> None:
            if not routed(self, None if endpoint.gone else route, b""):
                self.handle_json({})

        def handle_json(self, body: Body) -> None:
            if endpoint.gone:
                self.close_connection = True
                return
            canned = endpoint.answer(Received(self.path, dict(self.headers), body))
            with suppress(BrokenPipeError, ConnectionResetError):
                write_canned(self, canned)  # the client may have given up waiting

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        # The system keeps 5 by itself: in a busy hour more clients at once would wait for seconds.
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def routed(handler: BaseHTTPRequestHandler, route: Route | None, content: bytes) -> bool:
    """Whether a request was no question, and has its reply."""
    canned = route and route(handler.command, handler.path, dict(handler.headers), content)
    if not canned:
        return False
    with suppress(BrokenPipeError, ConnectionResetError):
        write_canned(handler, canned)
    return True


def write_canned(handler: BaseHTTPRequestHandler, canned: Canned) -> None:
    """Send what a test has written, as it is said there."""
    if canned.raw:
        handler.wfile.write(canned.raw)
        handler.close_connection = True
        return
    body = canned.body
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(canned.status)
    for name, value in canned.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    size = 1 if canned.drip_seconds else max(1, len(data))
    for start in range(0, len(data), size):
        time.sleep(canned.drip_seconds)
        handler.wfile.write(data[start : start + size])


def as_it_is(at: int, reply: Reply) -> Reply:
    return reply


def ask_all(settings: EndpointSettings, path: str, bodies: Sequence[Body]) -> list[Reply]:
    """`post_all`, whose replies are all wanted as they are."""
    return post_all(settings, path, bodies, lambda _, reply: reply)


def completion(text: object, finish_reason: object = "stop", **message: object) -> Canned:
    """A chat completion with one choice."""
    choice = {"message": {"content": text, **message}, "finish_reason": finish_reason}
    return Canned(body={"choices": [choice], "usage": {"completion_tokens": 7}})


def continued(text: object, finish_reason: object = "stop") -> Canned:
    """A completion of a text with one choice."""
    choice = {"text": text, "finish_reason": finish_reason}
    return Canned(body={"choices": [choice], "usage": {"completion_tokens": 7}})


def listed(**tokens: float) -> Canned:
    """A reply whose first place lists tokens with probabilities; `_` in a name is a blank."""
    top = [
        {"token": token.replace("_", " "), "logprob": math.log(probability)}
        for token, probability in tokens.items()
    ]
    choice = {"message": {"content": "A"}, "logprobs": {"content": [{"top_logprobs": top}]}}
    return Canned(body={"choices": [choice]})


def scored(body: Body, losses: Callable[[int, int], float]) -> Canned:
    """A completion as vLLM answers `prompt_logprobs`: 1, the prompt given as token ids.

    Args:
        body: the request.
        losses: (token before, token) → nats; a token of less than 1 nat is the likeliest one.
    """
    ids = body["prompt"]
    places: list[object] = [None]
    for before, token in pairwise(ids):
        nll = losses(before, token)
        entry = {"logprob": -nll, "rank": 1 if nll < 1 else 3, "decoded_token": "t"}
        likeliest = {} if nll < 1 else {"-1": {"logprob": -0.5, "rank": 1, "decoded_token": "u"}}
        places.append({str(token): entry, **likeliest})
    choice = {"text": "x", "finish_reason": "length", "prompt_logprobs": places}
    return Canned(body={"choices": [choice]})
