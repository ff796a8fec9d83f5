r"""Reverse instructions: the model writes the request that a given response would be a reply to.

    y = extract(response of the row)       whole, some of its sentences, or what the model copies
    x ~ M(x | y)                           the request; the row made is x -> y

The answer that is trained is text that was there, and only the request is made up: a model's words
are learnt from people's. By `extract`:

    whole      y is the response
    sentences  `sentences` of it that follow each other, where a seeded hash draws them
    model      what the model copies out of it; a copy of whose words in order less than `copied`
               are the response's goes (`not_copied`)

A request goes if it has eight words in a row of y, declines, or has no content. Whether y is an
answer to x is told afterwards by what x does for its loss, which the paper filters by too: measure
losses and drop rows with `ifd` above 1. The rows stand beside their sources.

Self-alignment by extract-then-generate, "David vs Goliath": arXiv:2308.12711, of which a summary
was read: its generator was tuned on seed rows turned round, its score and bounds are not known, and
its level of keywords is not here. That requests for given responses are better data than responses
for given requests was its finding; that of LongForm, arXiv:2304.08460, is like it.

For texts that people wrote, whose own prompts are missing or poor. Not for responses that say
nothing without their prompt, as "yes" or a number, nor where the style of the texts is not wanted.
It costs 1 call a row, and 1 more with `extract: model`.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.documents.sentences import find_sentences
from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    ask_text,
    one_exchange,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.templates import fill_prompt
from pipeline.generation.written_requests import REQUEST, write_request
from pipeline.measuring.measures.samples import Sampled
from pipeline.settings import Share
from pipeline.text.word_overlap import overlap_of
from scorers.words import split_words
from storage.conversations import content_hash
from storage.examples import Example

EXTRACT = "reverse_instructions_extract"


class ReverseInstructions(MakerBlock):
    """Requests for responses that are there: extract-then-generate (arXiv:2308.12711)."""

    method: Literal["reverse_instructions"]
    extract: Literal["whole", "sentences", "model"] = Field(
        default="whole",
        description="What of a response is answered to: all of it, some sentences, or what the "
        "model copies.",
    )
    sentences: int = Field(default=3, gt=0, description="Sentences that are drawn, if they are.")
    copied: Share = Field(
        default=0.9,
        description="Share of a copy's words that the response has in the same order, at least.",
    )
    least_words: int = Field(
        default=5, gt=0, description="Words of a response, and of what is extracted, at least."
    )
    temperature: float = Field(default=0.7, ge=0, description="Of requests; copies have 0.")
    max_new_tokens: int = Field(default=256, gt=0, description="A longer reply is dropped.")

    prompts: ClassVar[Sequence[str]] = (EXTRACT, REQUEST)

    def takes(self, example: Example) -> bool:
        """Rows of one trained response that says something by itself."""
        long_enough = len(split_words(example.response)) >= self.least_words
        return len(example.trained_at) == 1 and long_enough and not example.tools

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {each.example_id: make_by_reversing(self, each, seed) for each in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A request, and a copy where the model makes it."""
        most = 2 * sources if self.extract == "model" else sources
        return {"generate": CallBounds(sources, most, self.max_new_tokens)}


def make_by_reversing(settings: ReverseInstructions, source: Example, seed: int) -> Making:
    """Extract a reply, and ask for the request that it answers."""
    places, reply = yield from extract_reply(settings, source, seed)
    if isinstance(reply, Unread):
        return [Settled(places, None, reply.reason)]
    place, request = yield from write_request(reply, settings.temperature, settings.max_new_tokens)
    places = [*places, place]
    if isinstance(request, Unread):
        return [Settled(places, None, request.reason)]
    return [Settled(places, one_exchange(request, reply), settings.extract)]


def extract_reply(
    settings: ReverseInstructions, source: Example, seed: int
) -> Generator[Wanted, Sequence[Sampled], tuple[list[CallPlace], str | Unread]]:
    """What of a response is to be replied with; what was asked for it, and why there is none."""
    text = source.response.strip()
    if settings.extract == "whole":
        return [], text
    if settings.extract == "sentences":
        drawn = draw_sentences(text, settings.sentences, [seed, source.example_id])
        short = len(split_words(drawn)) < settings.least_words
        return [], Unread("too_short") if short else drawn
    question = fill_prompt(EXTRACT, {"text": text})
    ask = Ask("extract", 0, [{"role": "user", "content": question}], 0.0, settings.max_new_tokens)
    copy = yield from ask_text(ask, lambda said: fault_of_copy(settings, said, text))
    return [ask.place], copy


def draw_sentences(text: str, count: int, lot: Sequence[object]) -> str:
    """So many sentences of a text that follow each other, as they stand there; all of a short one.

    Args:
        text: to draw from.
        count: of the sentences.
        lot: what the draw depends on.
    """
    spans = [*find_sentences(text, 0, len(text))]
    first = int(content_hash([*lot]), 16) % max(1, len(spans) - count + 1)
    (start, _), *_ = spans[first:] or [(0, 0)]
    _, end = spans[min(first + count, len(spans)) - 1] if spans else (0, 0)
    return text[start:end].strip()


def fault_of_copy(settings: ReverseInstructions, copy: str, text: str) -> str:
    """Why a copy of a part of a text is none; "" where it is one."""
    words = split_words(copy)
    if len(words) < settings.least_words:
        return "too_short"
    return "" if overlap_of(words, split_words(text)).precision >= settings.copied else "not_copied"
