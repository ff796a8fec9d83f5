r"""Humpback: passages become replies, whose requests the model writes and whose fit it then rates.

    x   ~ M(x | y)                              the request that the passage y is a reply to
    r   = sum of k p(k) / sum of p(k)           k = 1 to 5, by M's probabilities of the rating
    row = x -> y, where r >= `rating_at_least`

What is trained stands in a document, and only the request is made up, as in `reverse_instructions`,
with which it shares the asking and the faults of requests. Curation is by the same model, or by a
better one that reads the rows with `verified`. A server that tells no probabilities gives the
number that it says as r; a rating that says none of the five is asked for `retries` times more.
Another `rating_at_least` asks for nothing again. With `system` the rows have that message before
their request, so that text of people who answered nobody can be told from answers in training.
Rows have their passage as their parent.

Li et al. 2023, "Self-Alignment with Instruction Backtranslation", arXiv:2308.06259. There the model
that writes requests was tuned on seed rows turned round, the one that rates on the seed rows, and
both steps are repeated with a model trained on what was kept: name that as `model: adapter:last` in
a second recipe. Uncurated rows did not help there. The five levels are our own words.

For documents of people who explain something, from which answers can be learnt as they stand.
Not for tables, dialogues and fragments, nor for passages that need what stands before them, nor
where documents may hold the tests: `check` them. A small model rates all alike, and tells no good
row from a bad one. It costs 2 calls a row, and 1 for each request that goes.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.generation.judging import VERDICT_TOKENS, ask_until_read
from pipeline.generation.maker import CallKind, Making, Settled, Unread, read_whole
from pipeline.generation.maker_block import CallBounds, PassageMakerBlock
from pipeline.generation.templates import fill_prompt
from pipeline.generation.written_requests import REQUEST, write_request
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer, OneOf
from scorers.words import split_words
from storage.conversations import Conversation
from storage.documents import SourcePassage

RATING = "humpback_rating"

POINTS = OneOf(tuple("12345"))


class Humpback(PassageMakerBlock):
    """Requests for passages, curated by a rating: Humpback (arXiv:2308.06259)."""

    method: Literal["humpback"]
    rating_at_least: float = Field(
        default=4.0, ge=1, le=5, description="Expected rating of a row that stays."
    )
    least_words: int = Field(default=20, gt=0, description="Words of a passage, at least.")
    system: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="A system prompt, which stands in the rows alone."
    )
    temperature: float = Field(default=0.7, ge=0, description="Of requests.")
    max_new_tokens: int = Field(default=256, gt=0, description="Of a request.")
    retries: int = Field(
        default=1, ge=0, description="How often a rating is asked for again that says no number."
    )

    prompts: ClassVar[Sequence[str]] = (REQUEST, RATING)

    def takes(self, passage: SourcePassage) -> bool:
        """Passages that are long enough to be a reply."""
        return len(split_words(passage.text)) >= self.least_words

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, passages: Sequence[SourcePassage], seed: int) -> Mapping[str, Making]:
        """One for each passage."""
        return {each.passage_id: make_by_humpback(self, each) for each in passages}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A request of each passage, and at most a rating of it, again where it says none."""
        return {
            "generate": CallBounds(sources, sources, self.max_new_tokens),
            "judge": CallBounds(0, sources, VERDICT_TOKENS),
            "retry": CallBounds(0, sources * self.retries, VERDICT_TOKENS),
        }


def make_by_humpback(settings: Humpback, passage: SourcePassage) -> Making:
    """Ask for the request, and rate it with its passage."""
    reply = passage.text.strip()
    place, request = yield from write_request(reply, settings.temperature, settings.max_new_tokens)
    if isinstance(request, Unread):
        return [Settled([place], None, request.reason)]
    question = fill_prompt(RATING, {"request": request, "reply": reply})
    told = yield from ask_until_read(
        {"rating": question}, settings.retries, expect_rating, form=POINTS, tokens=VERDICT_TOKENS
    )
    asked, rating = told["rating"]
    places = [place, *asked]
    if isinstance(rating, Unread):
        return [Settled(places, None, "unparsed_rating")]
    if rating < settings.rating_at_least:
        return [Settled(places, None, "rated_low")]
    before = [{"role": "system", "content": settings.system}] if settings.system else []
    turns = [{"role": "user", "content": request}, {"role": "assistant", "content": reply}]
    return [Settled(places, Conversation([*before, *turns]), "rated_high")]


def expect_rating(reply: Sampled) -> float | Unread:
    """The rating that a reply is expected to have, from 1 to 5, or the one that it says."""
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    said = split_words(text)
    if len(said) != 1 or said[0] not in POINTS.options:
        return Unread("unparsed")
    assert isinstance(reply, GeneratedAnswer)  # read_whole has seen to it
    shares = {each: reply.share(each) for each in POINTS.options}
    if any(share is None for share in shares.values()):
        return float(said[0])
    return sum(int(each) * (share or 0.0) for each, share in shares.items())
