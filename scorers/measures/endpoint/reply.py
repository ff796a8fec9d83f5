"""Read what a server sent: never more than there is room for, and what is no reply gets a name.

Nothing that a server can send raises here. Its own words are kept nowhere: they may quote a prompt.
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import httpx

from scorers.measures.protocols import GenerationFailure

JsonReply: TypeAlias = Mapping[str, Any]
Reply: TypeAlias = JsonReply | GenerationFailure

MAY_PASS = frozenset({408, 409, 429})
"""Statuses below 500 that say "not now" and not "never"."""

MOST_BYTES = 1 << 22
"""Of a reply, packed or not: a million tokens. A server that repeats each token of the question, as
it does for losses, may send BYTES_FOR_ASKED more for each byte of that."""

BYTES_FOR_ASKED = 64

UNPACKED = frozenset({"", "identity"})
PACKED = frozenset({"gzip", "x-gzip", "deflate"})

MOVED = "Moved-To"
"""The header that a response of ours has in place of Location."""

ROUNDING_NATS = 0.01
"""How far above 0 rounding may lift a log probability."""

TOO_LONG = re.compile(r"context[ _](length|window|size)|maximum length|too many tokens", re.I)
"""How servers say that a prompt does not fit; there is no status of its own for it."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """An attempt that failed in a way that may pass."""

    failure: GenerationFailure
    retry_after_seconds: float = 0.0


async def read_reply(response: httpx.Response) -> Reply | NotNow:
    """Read a response whose body was not read yet.

    Raises:
        httpx.TransportError: if the connection breaks meanwhile.
    """
    most = MOST_BYTES + BYTES_FOR_ASKED * len(response.request.content)
    content = await _read_bytes(response, most)
    if response.is_success:
        return content if isinstance(content, GenerationFailure) else _read_json(response, content)
    refusal = name_refusal(response, b"" if isinstance(content, GenerationFailure) else content)
    if response.status_code in MAY_PASS or response.status_code >= 500:
        return NotNow(refusal, _retry_after_seconds(response))
    return refusal


async def keep_location(response: httpx.Response) -> None:
    """Hide where a response sends us from httpx, which raises where that is no URL."""
    if (location := response.headers.pop("Location", None)) is not None:
        response.headers[MOVED] = location


def read_logprob(value: object) -> float | None:
    """A log probability in nats, -inf and NaN among them; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers have no end
        return None
    return None if number > ROUNDING_NATS else number


def first_choice(reply: JsonReply) -> JsonReply | None:
    """`choices[0]` of a chat completion; None where it has another shape, or another number."""
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) and first.get("index") in (None, 0) else None


def as_text_line(line: str) -> JsonReply | None:
    """A line of JSON as an object; None where it is none."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


async def _read_bytes(response: httpx.Response, most: int) -> bytes | GenerationFailure:
    too_large = GenerationFailure("reply_too_large", f"more than {most} bytes")
    content = bytearray()
    async for piece in response.aiter_raw():  # as sent: a few packed bytes may be gigabytes
        content += piece
        if len(content) > most:
            return too_large
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing in UNPACKED:
        return bytes(content)
    unpacked = _unpack(content, most) if packing in PACKED else None
    if unpacked is None:
        return GenerationFailure("malformed_reply", "the body is not packed as it says")
    return too_large if len(unpacked) > most else unpacked


def _unpack(content: bytearray, most: int) -> bytes | None:
    """At most one byte more than allowed; None where the body is damaged, or ends too soon."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # | 32: gzip or zlib, by its first bytes
    try:
        unpacked = unpacker.decompress(content, most + 1)
    except zlib.error:
        return None
    return unpacked if unpacker.eof or len(unpacked) > most else None


def _read_json(response: httpx.Response, content: bytes) -> Reply:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):  # the latter for brackets in brackets without end
        if content.lstrip().startswith(b"<"):
            return GenerationFailure("web_page", f"status {response.status_code}, and no JSON")
        return GenerationFailure("malformed_reply", "the body is not JSON")
    if not isinstance(body, dict):
        kind = type(body).__name__  # not what it holds, which may be a prompt
        return GenerationFailure("malformed_reply", f"expected a JSON object, got {kind}")
    return body


def name_refusal(response: httpx.Response, content: bytes) -> GenerationFailure:
    """Name an error status.

    The server's message is not kept: it may quote the prompt.
    """
    reason, told = f"http_{response.status_code}", [f"status {response.status_code}"]
    # Not by the charset that the server names: it may name one that is none.
    if response.status_code in (400, 413, 422) and TOO_LONG.search(content.decode(errors="ignore")):
        reason = "context_length"
    body = _read_json(response, content)
    error = body.get("error") if isinstance(body, Mapping) else None
    named = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    told += [code for code in named if isinstance(code, str) and re.fullmatch(r"\w{1,64}", code)]
    if host := re.match(r"https?://([A-Za-z0-9.-]{1,253})", response.headers.get(MOVED, "")):
        told.append(f"it sends us to {host[1]}")
    return GenerationFailure(reason, ", ".join(told))


def _retry_after_seconds(response: httpx.Response) -> float:
    """Seconds the server asked for, by a number or a date; 0 where it did not."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", value):  # no sign, no exponent, no infinity
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a time zone beyond all numbers
        return 0.0
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)  # "-0000": UTC, of unknown place
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
