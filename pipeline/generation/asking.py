"""Replies to what makers ask: those that are stored, and those that a model is asked for.

A reply is stored by the model's identity and all that it was asked, so another maker, or the same
with another rule of what to keep, asks for none of it again.
"""

from collections.abc import Sequence

from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.engine import count_new_tokens
from pipeline.generation.maker import Ask
from pipeline.measuring.measures.samples import Sampled
from pipeline.progress import Report
from pipeline.run_context import RunContext
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.models.devices import borrowed_device
from scorers.measures.protocols import (
    AnswerGenerator,
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
)
from storage.conversations import content_hash
from storage.database import open_workspace, read_workspace
from storage.maker_calls import StoredReply, read_replies, write_replies


class Asking:
    """Replies to asks: those that are stored, and those that the model is asked for and stored."""

    def __init__(self, run: RunContext, settings: AnyMaker, report: Report) -> None:
        self.asked = 0
        """Calls of the model; what was stored was not asked."""
        self._run = run
        self._settings = settings
        self._identity = settings.identity()
        self._report = report
        self._generator: AnswerGenerator | None = None
        self._answered = 0

    def ask(self, asks: Sequence[tuple[str, Ask]]) -> list[Sampled]:
        """A reply for each, in order; what is asked twice is asked once."""
        keys = [self.key(source, ask) for source, ask in asks]
        with read_workspace(self._run.workspace) as con:
            stored = read_replies(con, keys)
        new = {key: each for key, each in zip(keys, asks, strict=True) if key not in stored}
        if new:
            requests = [self.request(source, ask) for source, ask in new.values()]
            replies = self._sample(requests)
            had = [
                as_stored(key, ask, reply, self._kept_at(request))
                for (key, (_, ask)), request, reply in zip(
                    new.items(), requests, replies, strict=True
                )
            ]
            with open_workspace(self._run.workspace) as con:
                write_replies(con, had)
            stored |= {each.reply_key: each for each in had}
            self.asked += len(new)
        self._answered += len(asks)
        self._report(f"generate: {self._settings.method}", self._answered, None)
        return [as_sampled(stored[key]) for key in keys]

    def request(self, source: str, ask: Ask) -> GenerationRequest:
        """One ask as the model is given it."""
        seed = ask_seed([self._run.seed, self._settings.method, source], ask)
        return GenerationRequest(ask.messages, ask.tools, ask.temperature, ask.max_new_tokens, seed)

    def key(self, source: str, ask: Ask) -> str:
        """Hash of the model's identity and of all that it is asked."""
        request = self.request(source, ask)
        asked = [request.messages, request.tools, request.temperature, request.max_new_tokens]
        return content_hash([self._identity, *asked, request.seed])

    def _sample(self, requests: Sequence[GenerationRequest]) -> Sequence[Sampled]:
        if self._generator is None:  # not loaded where all is stored
            self._generator = self._settings.generator(self._run.workspace.requests)
        with borrowed_device():
            return self._generator.sample(requests)

    def _kept_at(self, request: GenerationRequest) -> str:
        if isinstance(self._generator, EndpointGenerator):
            return self._generator.kept_at(request)
        return ""


def ask_seed(of: Sequence[object], ask: Ask) -> int:
    """A seed of 63 bits from run, method, source, stage and attempt; 0 where nothing is drawn.

    So the likeliest answer to a prompt is one request, whichever maker wants it.
    """
    if ask.temperature == 0:
        return 0
    # 16 hex digits are 64 bits; without the last the number fits an int64, as torch seeds with.
    return int(content_hash([*of, ask.stage, ask.attempt])[:16], 16) >> 1


def as_stored(key: str, ask: Ask, reply: Sampled, kept_at: str) -> StoredReply:
    """A reply as it is stored."""
    tokens = count_new_tokens(ask, reply)
    if isinstance(reply, GeneratedAnswer):
        return StoredReply(key, reply.text, tokens, reply.finished, "", kept_at)
    return StoredReply(key, None, tokens, False, reply.reason, "")  # failures are kept nowhere else


def as_sampled(stored: StoredReply) -> Sampled:
    """A stored reply as the model gave it."""
    if stored.text is None:
        return GenerationFailure(stored.reason, "")
    return GeneratedAnswer(stored.text, stored.tokens, stored.finished)
