"""Ask an OpenAI-compatible server in batch files: hours later, and at many servers for half.

    POST /files (purpose: batch, one JSON line for each request) -> POST /batches -> GET /batches/ID
    until it is completed, expired, failed or cancelled -> GET /files/ID/content of its output and
    of its errors, in any order, told apart by `custom_id`, which is the key of the request

A batch that was sent is paid for, so it is never sent twice. Before it is made, a note of its
requests and of a token is written in the folder of replies, and the token goes along as metadata;
afterwards the note has the batch's id. Who finds a note without an id, after a kill or where the
reply to making it was lost, looks through the server's list for the token. A note is taken away
when all replies of its batch are kept, also those that nobody waits for any more.

Each request comes to its own end. What expired, what the server could not do for now (408, 409, 429
and 5xx) and what is in neither file goes into another batch, `retries` times; any other refusal is
that of its request. A batch that failed as a whole, or that somebody cancelled, ends the run, after
what it answered was kept.

Read of https://platform.openai.com/docs/api-reference/batch; tried against a server that behaves
like it (tests/fake_batches.py), not against OpenAI's own.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic
from uuid import uuid4

import httpx

from scorers.measures.endpoint.client import (
    EndpointSettings,
    Read,
    ServerLostError,
    attempt,
    open_client,
    patience,
    post_json,
)
from scorers.measures.endpoint.reply import (
    MAY_PASS,
    JsonReply,
    NotNow,
    Reply,
    as_text_line,
    name_refusal,
)
from scorers.measures.protocols import GenerationFailure

logger = logging.getLogger(__name__)

MOST_REQUESTS = 50_000
MOST_FILE_BYTES = 200_000_000
"""Of one batch file, as OpenAI takes them."""

NOTES = "batches"
"""Folder of notes below that of replies."""

TOKEN = "sluice_token"
"""The name of our token in a batch's metadata."""

UNDER_WAY = frozenset({"validating", "in_progress", "finalizing", "cancelling"})

ENDED = frozenset({"completed", "expired", "failed", "cancelled"})

LISTED = 100
"""Batches of one page of the server's list."""

MOST_PAGES = 100
"""Pages that are looked through for a token."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is known here of a batch: written before it is sent, and taken away when it is kept."""

    path: Path
    token: str
    url: str
    """The place that its requests go to."""
    keys: Sequence[str]
    batch: str | None
    """The server's id; None while it is not known whether the server has it."""

    def write(self) -> None:
        """Write it whole, or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        said = {"token": self.token, "url": self.url, "keys": [*self.keys], "batch": self.batch}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(said), encoding="ascii")
        os.replace(partial, self.path)


def read_notes(folder: Path, url: str) -> list[Note]:
    """The notes of batches that are not kept yet, of requests to one place."""
    found = []
    for path in sorted(folder.glob("*.json")):
        said = json.loads(path.read_bytes())
        if said["url"] == url:
            found.append(Note(path, said["token"], url, said["keys"], said["batch"]))
    return found


@dataclass(slots=True)
class BatchJob(Generic[Read]):
    """Requests that are asked in batches, and what is done with their replies."""

    path: str
    """Below the base, such as "chat/completions"."""
    bodies: Mapping[str, JsonReply]
    """Key of each request → what is asked."""
    keep: Callable[[str, JsonReply], None]
    """Is given each reply, also those to what an earlier run asked."""
    read: Callable[[str, Reply], Read]
    """What is made of the reply to a request."""

    @property
    def url(self) -> str:
        """Where the server sends the requests."""
        return f"/v1/{self.path}"


def post_batched(settings: EndpointSettings, job: BatchJob[Read]) -> dict[str, Read]:
    """Have requests answered in batches; what was read of each reply or failure, by its key.

    Raises:
        ServerLostError: if the server is gone, refuses us, or a batch failed or was cancelled.
        ValueError: if there is no folder for replies, or the variable with the key is not set.
    """
    if settings.cache is None or settings.batch is None:
        raise ValueError("batches need a folder of replies: they outlive who sent them")
    return asyncio.run(_post_batched(settings, job, settings.cache / NOTES)) if job.bodies else {}


async def _post_batched(
    settings: EndpointSettings, job: BatchJob[Read], folder: Path
) -> dict[str, Read]:
    found: dict[str, Read] = {}
    asked_again: dict[str, int] = {}
    async with open_client(settings) as client:
        server = _Server(settings, client)
        kept = read_notes(folder, job.url)
        ours = [note for note in kept if not job.bodies.keys().isdisjoint(note.keys)]
        notes = [known async for known in _sent_notes(server, ours)]
        sent = {key for note in notes for key in note.keys}
        left = [key for key in job.bodies if key not in sent]
        while left or notes:
            for keys in _cut(job, left, settings):
                notes.append(await _send(server, job, keys, folder))
            left = []
            for note in notes:
                for key, failure in (await _take(server, job, note, found)).items():
                    asked_again[key] = asked_again.get(key, 0) + 1
                    if asked_again[key] > settings.retries:
                        found[key] = job.read(key, failure)
                    else:
                        left.append(key)
            notes = []
    return found


async def _sent_notes(server: "_Server", notes: Sequence[Note]) -> AsyncIterator[Note]:
    """The notes whose batch the server has; a batch that it never had is forgotten."""
    for note in notes:
        batch = note.batch or await server.find(note.token)
        if batch is None:
            note.path.unlink()
            continue
        known = Note(note.path, note.token, note.url, note.keys, batch)
        known.write()
        yield known


def _cut(
    job: BatchJob[Read], keys: Sequence[str], settings: EndpointSettings
) -> Iterator[list[str]]:
    """Keys in as many pieces as files are needed."""
    assert settings.batch is not None
    piece: list[str] = []
    size = 0
    for key in keys:
        line = len(_line(job, key))
        full = len(piece) >= settings.batch.most_requests or size + line > MOST_FILE_BYTES
        if piece and full:
            yield piece
            piece, size = [], 0
        piece.append(key)
        size += line
    if piece:
        yield piece


def _line(job: BatchJob[Read], key: str) -> bytes:
    asked = {"custom_id": key, "method": "POST", "url": job.url, "body": job.bodies[key]}
    return json.dumps(asked).encode() + b"\n"


async def _send(server: "_Server", job: BatchJob[Read], keys: Sequence[str], folder: Path) -> Note:
    """Have a batch made, and know it from then on."""
    file = await server.upload(b"".join(_line(job, key) for key in keys))
    token = uuid4().hex
    note = Note(folder / f"{token}.json", token, job.url, keys, None)
    note.write()
    batch = await server.create(file, note)
    known = Note(note.path, token, job.url, keys, batch)
    known.write()
    logger.warning("batch %s of %d requests was sent to %s", batch, len(keys), server.base_url)
    return known


async def _take(
    server: "_Server", job: BatchJob[Read], note: Note, found: dict[str, Read]
) -> dict[str, GenerationFailure]:
    """Wait for a batch and take what it answered; what may be asked again, and why.

    Raises:
        ServerLostError: if it failed as a whole, or was cancelled.
    """
    batch = await server.wait(note)
    left = {key: GenerationFailure("not_in_batch", "neither file has it") for key in note.keys}

    def take(key: str, reply: Reply | NotNow) -> None:
        if key not in left:
            return  # not ours, or told already
        if isinstance(reply, NotNow):
            left[key] = reply.failure
            return
        del left[key]
        if not isinstance(reply, GenerationFailure):
            job.keep(key, reply)
        if key in job.bodies:
            found[key] = job.read(key, reply)

    async for key, reply in _answers_of(server, batch, note):
        take(key, reply)
    note.path.unlink()  # all that it answered is kept
    _require_sound(server.base_url, batch, note)
    return {key: failure for key, failure in left.items() if key in job.bodies}


async def _answers_of(
    server: "_Server", batch: JsonReply, note: Note
) -> AsyncIterator[tuple[str, Reply | NotNow]]:
    """What a batch says of requests, in no order."""
    files = (batch.get("output_file_id"), batch.get("error_file_id"))
    for file in filter(None, files):
        async for line in server.lines(str(file)):
            yield read_line(line)
    for key, failure in read_errors(batch, note).items():
        yield key, failure


def _require_sound(base_url: str, batch: JsonReply, note: Note) -> None:
    """Stop where sending again would be against what somebody wants, or for nothing.

    Raises:
        ServerLostError: if a batch was cancelled, or failed for no request of its own.
    """
    status = batch["status"]
    if status == "cancelled" or (status == "failed" and not read_errors(batch, note)):
        raise ServerLostError(
            f"{base_url}: batch {note.batch} is {status}{error_codes(batch)}; what it answered is "
            "kept. Run the same command again to send what is left in a new batch"
        )


def read_line(line: JsonReply) -> tuple[str, Reply | NotNow]:
    """The request that a line of a result file is about, and what became of it."""
    key, response, error = line.get("custom_id"), line.get("response"), line.get("error")
    named = key if isinstance(key, str) else ""
    if not isinstance(response, dict):
        code = error.get("code") if isinstance(error, dict) else None
        reason = code if isinstance(code, str) and code.isidentifier() else "not_in_batch"
        # Such as batch_expired: it was not done, so nothing is known against the request.
        return named, NotNow(GenerationFailure(reason[:64], "the batch did not come to it"))
    status, body = response.get("status_code"), response.get("body")
    if status == 200:
        if isinstance(body, dict):
            return named, body
        return named, GenerationFailure("malformed_reply", "no JSON object")
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 999:
        return named, GenerationFailure("malformed_reply", "a line without a status")
    failure = name_refusal(httpx.Response(status), json.dumps(body).encode())
    if status in MAY_PASS or status >= 500:
        return named, NotNow(failure)
    return named, failure


def read_errors(batch: JsonReply, note: Note) -> dict[str, GenerationFailure]:
    """Requests that a batch failed for, which names their lines from 1."""
    found = {}
    for error in listed_errors(batch):
        line = error.get("line")
        if isinstance(line, int) and not isinstance(line, bool) and 1 <= line <= len(note.keys):
            code = error.get("code")
            detail = code if isinstance(code, str) and code.isidentifier() else "no code"
            found[note.keys[line - 1]] = GenerationFailure("refused_in_batch", detail[:64])
    return found


def listed_errors(batch: JsonReply) -> list[JsonReply]:
    """What a failed batch says of itself."""
    errors = batch.get("errors")
    return json_objects(errors.get("data")) if isinstance(errors, dict) else []


def json_objects(listed: object) -> list[JsonReply]:
    """The objects of a list; none of what is no list."""
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def error_codes(batch: JsonReply) -> str:
    """The codes of that, to be shown; the messages may quote a prompt."""
    codes = {str(each.get("code")) for each in listed_errors(batch)}
    shown = sorted(code[:64] for code in codes if code.isidentifier())
    return f" ({', '.join(shown)})" if shown else ""


class _Server:
    """The calls of a server's API of files and batches."""

    def __init__(self, settings: EndpointSettings, client: httpx.AsyncClient) -> None:
        self.base_url = settings.base_url
        self._settings, self._client = settings, client

    async def _call(self, request: httpx.Request) -> JsonReply:
        """A reply to what may be asked twice."""
        tried = patience(self._settings, salt=0)
        said: Reply = await tried(attempt, self._client, request, self._settings.timeout_seconds)
        if isinstance(said, GenerationFailure):
            raise self._lost(request, said)
        return said

    def _lost(self, request: httpx.Request, failure: GenerationFailure) -> ServerLostError:
        return ServerLostError(
            f"{request.method} {request.url}: {failure.reason} ({failure.detail}). See that the "
            "server knows batches, or leave `batch` out of the endpoint; then run the same command "
            "again: batches that were sent are found, and none is sent twice"
        )

    async def upload(self, lines: bytes) -> str:
        """A file of requests; one that nobody uses costs nothing."""
        files = {"file": ("requests.jsonl", lines, "application/jsonl")}
        purpose = {"purpose": "batch"}
        request = self._client.build_request("POST", "files", data=purpose, files=files)
        request.read()  # or a second try would find it sent
        return self._id_of(request, await self._call(request))

    async def create(self, file: str, note: Note) -> str:
        """A batch, by whichever try it was made."""
        assert self._settings.batch is not None
        failure = GenerationFailure("not_tried", "")
        said = {
            "input_file_id": file,
            "endpoint": note.url,
            "completion_window": self._settings.batch.window,
            "metadata": {TOKEN: note.token},
        }
        for tries in range(self._settings.retries + 1):
            request = post_json(self._client, "batches", said)
            made = await attempt(self._client, request, self._settings.timeout_seconds)
            if isinstance(made, GenerationFailure):
                note.path.unlink()  # the server says no: there is none
                raise self._lost(request, made)
            if not isinstance(made, NotNow):
                return self._id_of(request, made)
            failure = made.failure
            # Whether it was made is not known: to ask again could be to pay again.
            if (batch := await self.find(note.token)) is not None:
                return batch
            pause = max(self._settings.backoff_seconds * 2**tries, made.retry_after_seconds)
            await asyncio.sleep(min(pause, self._settings.longest_wait_seconds))
        raise self._lost(request, failure)

    async def find(self, token: str) -> str | None:
        """The id of the batch with a token, if the server has it."""
        after = ""
        for _ in range(MOST_PAGES):
            params = {"limit": str(LISTED), **({"after": after} if after else {})}
            said = await self._call(self._client.build_request("GET", "batches", params=params))
            batches = json_objects(said.get("data"))
            for each in batches:
                metadata = each.get("metadata")
                if isinstance(metadata, dict) and metadata.get(TOKEN) == token:
                    return str(each["id"])
            if not said.get("has_more") or not batches:
                return None
            after = str(batches[-1]["id"])
        return None

    async def wait(self, note: Note) -> JsonReply:
        """A batch that came to its end."""
        assert self._settings.batch is not None
        while True:
            request = self._client.build_request("GET", f"batches/{note.batch}")
            said = await self._call(request)
            status = said.get("status")
            if status in ENDED:
                return said
            if status not in UNDER_WAY:
                shown = status if isinstance(status, str) and status.isidentifier() else "none"
                raise self._lost(request, GenerationFailure("unknown_status", shown[:64]))
            await asyncio.sleep(self._settings.batch.poll_seconds)

    async def lines(self, file: str) -> AsyncIterator[JsonReply]:
        """The lines of a file, one at a time; what is no JSON object is passed over.

        A connection that breaks in between is opened again, and lines that were given come again.
        """
        for tries in range(self._settings.retries + 1):
            request = self._client.build_request("GET", f"files/{file}/content")
            try:
                response = await self._client.send(request, stream=True)
                try:
                    if not response.is_success:
                        refusal = name_refusal(response, await response.aread())
                        raise self._lost(request, refusal)
                    async for line in response.aiter_lines():
                        if (said := as_text_line(line)) is not None:
                            yield said
                    return
                finally:
                    await response.aclose()
            except httpx.TransportError as error:
                failure = GenerationFailure("no_connection", type(error).__name__)
            await asyncio.sleep(self._settings.backoff_seconds * 2**tries)
        raise self._lost(request, failure)

    def _id_of(self, request: httpx.Request, said: JsonReply) -> str:
        made = said.get("id")
        if not isinstance(made, str) or not made.replace("-", "_").isidentifier():
            raise self._lost(request, GenerationFailure("malformed_reply", "no id"))
        return made
