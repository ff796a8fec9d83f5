"""Replies to what makers ask: those that are stored, and those that a model is asked for.

A reply is stored by the model's identity and all that it was asked, so another maker, or the same
with another rule of what to keep, asks for none of it again. What is new is cut into batches, each
of which needs no database, so it is up to the caller where they are done.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from pipeline.code_version import check_code, code_version
from pipeline.generation.allowance import count_new_tokens, count_prompt_bytes
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.maker import Ask
from pipeline.measuring.measures.samples import Sampled
from pipeline.progress import Report
from pipeline.run_context import RunContext
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.models.devices import borrowed_device
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Message,
    Opening,
    RawText,
)
from storage.conversations import canonical_json, content_hash
from storage.database import open_workspace, read_workspace
from storage.maker_calls import StoredReply, read_replies, write_replies

TOGETHER = 64
"""Calls that are asked at a time."""

STORE_SECONDS = 1.0
"""Of asking that replies are stored together for: to store some takes longer the more there are.

What a kill can cost, besides the batch under way; what an endpoint gave is kept as it comes.
"""


@dataclass(frozen=True, slots=True)
class CallBatch:
    """One piece of work: calls of a maker that are asked together."""

    settings: AnyMaker
    number: int
    """Of the maker's batches in this run, from 1."""
    requests: Mapping[str, GenerationRequest]
    """Key of the reply → what is asked."""
    identity: str
    """Of the model where the batch was cut."""
    folder: Path
    """Of the replies that endpoints gave."""
    code: str
    """The version of the code that cut it."""
    trains: bool = False
    """Whether its requests are work of the maker itself, and no model is asked."""


SendBatches: TypeAlias = Callable[[Iterable[CallBatch]], Iterator[Sequence[StoredReply]]]
"""Batches → the replies of each, as they are finished."""


def answer_batch(batch: CallBatch) -> list[StoredReply]:
    """Ask the model; needs no database.

    Raises:
        OtherWorkerError: if here is other code than where the batch was cut, or another model.
        MissingModelError: if the server cannot be asked, or serves another model by now.
    """
    check_code(batch.code)
    if batch.trains:
        return [
            as_stored(key, request, GeneratedAnswer(do_own_work(batch, request), 0, True), "", 0.0)
            for key, request in batch.requests.items()
        ]
    generator = batch.settings.generator(batch.folder, batch.identity)
    with borrowed_device():
        began = time.perf_counter()
        replies = generator.sample(list(batch.requests.values()))
        seconds = (time.perf_counter() - began) / len(replies)
    kept_at = generator.kept_at if isinstance(generator, EndpointGenerator) else kept_nowhere
    return [
        as_stored(key, request, reply, kept_at(request), seconds)
        for (key, request), reply in zip(batch.requests.items(), replies, strict=True)
    ]


def do_own_work(batch: CallBatch, request: GenerationRequest) -> str:
    """What a maker's own work comes to."""
    (message,) = request.messages
    return batch.settings.train(str(message["content"]))


def answer_here(batches: Iterable[CallBatch]) -> Iterator[list[StoredReply]]:
    """Do batches one after the other in this process."""
    return map(answer_batch, batches)


class Asking:
    """Replies to asks: those that are stored, and those that the model is asked for and stored."""

    def __init__(
        self,
        run: RunContext,
        settings: AnyMaker,
        report: Report,
        send: SendBatches = answer_here,
        total: int | None = None,
    ) -> None:
        self.asked = 0
        """Calls of the model; what was stored was not asked."""
        self._run = run
        self._settings = settings
        self._identity = settings.identity()
        self._examples = settings.examples()
        self._report = report
        self._send = send
        self._total = total
        self._batches = 0
        self._answered = 0

    def ask(self, asks: Sequence[tuple[str, Ask]]) -> list[Sampled]:
        """A reply for each, in order; what is asked twice is asked once."""
        keys = [self.key(source, ask) for source, ask in asks]
        with read_workspace(self._run.workspace) as con:
            stored = read_replies(con, keys)
        new = {key: each for key, each in zip(keys, asks, strict=True) if key not in stored}
        self._answered += len(asks) - len(new)
        self._tell()
        waiting: list[StoredReply] = []
        stored_at = time.perf_counter()
        try:
            for replies in self._send(self._cut(new)):
                waiting += replies
                if time.perf_counter() - stored_at >= STORE_SECONDS:
                    self._store(waiting)
                    stored_at = time.perf_counter()
                stored |= {each.reply_key: each for each in replies}
                self.asked += len(replies)
                self._answered += len(replies)
                self._tell()
        finally:
            self._store(waiting)
        return [as_sampled(stored[key]) for key in keys]

    def _store(self, replies: list[StoredReply]) -> None:
        """Store what waits for it, and let nothing wait."""
        if replies:
            with open_workspace(self._run.workspace) as con:
                write_replies(con, replies)
            replies.clear()

    def request(self, source: str, ask: Ask) -> GenerationRequest:
        """One ask as the model is given it."""
        seed = ask.seed
        if seed is None:
            seed = ask_seed([self._run.seed, self._settings.method, source], ask)
        messages: Sequence[Message] = ask.messages
        opening: Opening | RawText | None = ask.opening
        if self._examples and opening is None and ask.kind != "train":
            messages, opening = (), self._examples.ask(messages)
        return GenerationRequest(
            messages, ask.tools, ask.temperature, ask.max_new_tokens, seed, ask.form, opening
        )

    def most_prompt_tokens(self, source: str, ask: Ask) -> int:
        """Tokens of a prompt, whatever tokenizer the server has."""
        return count_prompt_bytes(self.request(source, ask))

    def key(self, source: str, ask: Ask) -> str:
        """Hash of the model's identity and of all that it is asked."""
        request = self.request(source, ask)
        asked = [request.messages, request.tools, request.temperature, request.max_new_tokens]
        special = [asdict(each) for each in (request.form, request.opening) if each is not None]
        return content_hash([self._identity, *asked, request.seed, *special])

    def _cut(self, new: Mapping[str, tuple[str, Ask]]) -> Iterator[CallBatch]:
        endpoint = self._settings.endpoint
        # A batch file takes all that is to ask now, for it takes hours however few that are.
        together = endpoint.batch.most_requests if endpoint and endpoint.batch else TOGETHER
        for trains in (False, True):
            keys = [key for key, (_, ask) in new.items() if (ask.kind == "train") == trains]
            for start in range(0, len(keys), together):
                self._batches += 1
                some = keys[start : start + together]
                yield CallBatch(
                    settings=self._settings,
                    number=self._batches,
                    requests={key: self.request(*new[key]) for key in some},
                    identity=self._identity,
                    folder=self._run.workspace.requests,
                    code=code_version(),
                    trains=trains,
                )

    def _tell(self) -> None:
        self._report(f"generate: {self._settings.method}", self._answered, self._total)


def ask_seed(of: Sequence[object], ask: Ask) -> int:
    """A seed of 63 bits from run, method, source, stage and attempt; 0 where nothing is drawn.

    So the likeliest answer to a prompt is one request, whichever maker wants it.
    """
    if ask.temperature == 0:
        return 0
    # 16 hex digits are 64 bits; without the last the number fits an int64, as torch seeds with.
    return int(content_hash([*of, ask.stage, ask.attempt])[:16], 16) >> 1


def kept_nowhere(request: GenerationRequest) -> str:
    """Where a reply of a model in process is kept beside the table."""
    return ""


def as_stored(
    key: str, request: GenerationRequest, reply: Sampled, kept_at: str, seconds: float
) -> StoredReply:
    """A reply as it is stored; with its share of the seconds that the batch took."""
    if not isinstance(reply, GeneratedAnswer):
        # Failures are kept nowhere else.
        return StoredReply(key, None, 0, False, reply.reason, "", None, 0, seconds)
    tokens = count_new_tokens(reply, request.max_new_tokens)
    options = None if reply.options is None else canonical_json(reply.options).decode()
    prompt_tokens = reply.prompt_tokens
    if prompt_tokens is None:
        prompt_tokens = count_prompt_bytes(request) if kept_at else 0
    return StoredReply(
        key, reply.text, tokens, reply.finished, "", kept_at, options, prompt_tokens, seconds
    )


def as_sampled(stored: StoredReply) -> Sampled:
    """A stored reply as the model gave it."""
    if stored.text is None:
        return GenerationFailure(stored.reason, "")
    options = None if stored.options is None else json.loads(stored.options)
    return GeneratedAnswer(
        stored.text, stored.tokens, stored.finished, stored.prompt_tokens, options
    )
