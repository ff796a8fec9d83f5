r"""Round trip: a prompt translated there and back is the prompt in other words, with its answer.

    z ~ M(x, L),   x' ~ M(z, own language)            row (x', y) beside (x, y), for each L
    if facts(x') = facts(x),  and x' passes `verify` against x, and x against x'

M is any model, asked for a translation of the prompt's last message. Facts are those of
fuse_answers: numbers, addresses of the web, what stands in quotes; an x' with others is
`fact_changed`. One that is x by its words is `unchanged`, one that asks where x tells or tells
where x asks is `answered`, one of less than half or more than twice the words `other_length`. A
translation that is its text again, or in the same language, is `not_translated`; an x' in another
language than x is `other_language`, where texts are long enough to tell. By default the model
judges whether all that either says follows from the other; an `entailment` model does it better.
Prompts with code in fences are not taken.

Back-translation: Sennrich et al. 2016, arXiv:1511.06709, which makes sources of given translations;
as augmentation of other tasks Xie et al. 2020, "UDA", arXiv:1904.12848.

For classified texts and prompts in one wording that users will put in many, by a model that
translates. Not for prompts whose wording the answer takes up, as corrections and rewritings do; nor
by a model that cannot translate, of which little is left: `benchmarks/label_keeping.py` says how
much and with which labels. It costs 2 calls for each row and language, and 2 of the judge.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    ask_otherwise,
    ask_text,
    is_asked_once,
    last_prompt_text,
    side_by_side,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.makers.fuse_answers import facts_of
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import ground_question, verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.verifiers.entailed import Entailed
from pipeline.generation.verifiers.in_language import language_of
from pipeline.generation.written_text import fault_of_wording
from pipeline.measuring.measures.samples import Sampled
from scorers.words import split_words
from storage.examples import Example

PROMPT = "round_trip"


class RoundTrip(VerifiedBlock, MakerBlock):
    """Prompts in other words by translation there and back (arXiv:1511.06709)."""

    method: Literal["round_trip"]
    through: tuple[str, ...] = Field(
        default=("French",), min_length=1, description="Languages, each a trip by itself."
    )
    language: str = Field(
        default="English", min_length=1, description="Of the prompts, and of the way back."
    )
    temperature: float = Field(default=0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="Of each translation.")
    verify: tuple[Verifier, ...] = Field(
        default=(Entailed(method="entailed", against="prompt"),),
        description="What each of both texts must be as an answer to the other, in this order.",
    )

    prompts: ClassVar[Sequence[str]] = (PROMPT,)

    def takes(self, example: Example) -> bool:
        """Rows with one response to a text without code."""
        return is_asked_once(example) and "```" not in last_prompt_text(example)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return len(self.through)

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_round_trip(self, source) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A translation, the way back where there is one, and both texts judged."""
        trips = sources * len(self.through)
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(trips, 2 * trips, self.max_new_tokens)
        }
        return self.with_verifying(own, 2 * trips)


def make_by_round_trip(settings: RoundTrip, source: Example) -> Making:
    """All trips of a prompt together."""
    trips = [make_trip(settings, source, number) for number in range(len(settings.through))]
    return (yield from side_by_side(trips))


def make_trip(
    settings: RoundTrip, source: Example, number: int
) -> Generator[Wanted, Sequence[Sampled], Settled]:
    """The row of one trip, or why there is none."""
    given = last_prompt_text(source)
    there = ask_to_translate(settings, "there", number, given, settings.through[number])
    translated = yield from ask_text(there, lambda text: fault_of_translation(text, given))
    if isinstance(translated, Unread):
        return Settled([there.place], None, translated.reason)
    back = ask_to_translate(settings, "back", number, translated, settings.language)
    places = [there.place, back.place]
    text = yield from ask_text(back, lambda text: fault_of_trip(text, translated, given))
    if isinstance(text, Unread):
        return Settled(places, None, text.reason)
    # A judge's calls are named by the place that it judges, so each way has a place of its own.
    for place, ground, said in ((back.place, given, text), (there.place, text, given)):
        asked = ground_question(ground, "")
        told = (yield from verify_all(settings.verify, asked, {place: said}))[place]
        places += told.asked
        if told.fault:
            return Settled(places, None, told.fault)
    return Settled(places, ask_otherwise(source, text), settings.through[number])


def ask_to_translate(settings: RoundTrip, stage: str, number: int, text: str, language: str) -> Ask:
    """One way."""
    shown = fill_prompt(PROMPT, {"text": text, "language": language})
    messages = [{"role": "user", "content": shown}]
    return Ask(stage, number, messages, settings.temperature, settings.max_new_tokens)


def fault_of_translation(text: str, given: str) -> str:
    """Why a text is no translation of another; "" where it may be one."""
    found = language_of(text)
    same = found is not None and found == language_of(given)
    if same or split_words(text) == split_words(given):
        return "not_translated"
    return fault_of_wording(text, (PROMPT,), alone=False)


def fault_of_trip(text: str, translated: str, given: str) -> str:
    """Why what came back is not the given text in other words; "" where it may be."""
    words, before = split_words(text), split_words(given)
    if words == before:
        return "unchanged"
    found, own = language_of(text), language_of(given)
    if None not in (found, own) and found != own:
        return "other_language"
    if facts_of(text) != facts_of(given):
        return "fact_changed"
    if asks(text) != asks(given):
        return "answered"
    if not len(before) <= 2 * len(words) <= 4 * len(before):
        return "other_length"
    return fault_of_translation(text, translated)


def asks(text: str) -> bool:
    """Whether a text ends as a question does."""
    return text.rstrip().endswith(("?", "\uff1f"))
