r"""Fuse answers: what the given answer says, in the wording of the model's own.

    b ~ M(x),  f ~ M(x, y, b)
    target = f   if facts(y) <= facts(f) <= facts(x) + facts(y) + facts(b),  and f is not y + b
             y   otherwise

y is the given answer, b the model's own to the same prompt, and f is asked with both in sight.
Facts are what can be found again to the letter: numbers, whatever their separators, addresses of
the web, what stands in quotes, and a given answer of up to five words as a whole. An f that lacks
one of y is `fact_lost`, one with one of nowhere `fact_invented`; one X, `side_by_side`. `verify`
then says whether f says what y does, by a judge if nothing else is given. Where b is y already, or
f is none, the row stays as it was. The rows stand for their sources: as many come out as went in.

Fusing of CapsFusion: Yu et al. 2023, arXiv:2310.20550, which joins the alternative texts of
pictures with captions that a model wrote. There no question is asked; here an answer that was fused
without it could answer another one, so the prompt is shown.

For short or clumsy answers of people that are right, by a model that writes well. Not for answers
that may be wrong, whose faults it words better; nor where their wording is what shall be learnt. It
costs 2 calls for each row, and 1 of the judge for each text that passes so far.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    answer_source,
    ask_text,
    end_prompt_with,
    is_asked_once,
    last_prompt_text,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.short_answers import says_same
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.verifiers.judged import Judged
from pipeline.generation.written_text import fault_of_wording
from scorers.measures.protocols import Message
from scorers.words import runs_of, split_words
from storage.examples import Example

RUN = 3
"""Words of the runs by which it is told whether a text holds another."""

HELD = 0.9
"""Share of the runs of a text from which on another holds it."""

SHORT = 5
"""Words up to which a given answer is a fact as a whole, as a name is."""

ADDRESS = re.compile(r"https?://[^\s<>\"”»)\]]+")

SPEAKS_OF_ANSWERS = re.compile(r"\b(?:first|second|other|both|two) answers?\b", re.IGNORECASE)
"""What says that there were two; of English."""

QUOTED = re.compile(r"\"([^\"\n]{2,200})\"|“([^”\n]{2,200})”|«([^»\n]{2,200})»")

NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,\u202f\u00a0']\d+)*")
"""A date and a time are several."""


class FuseAnswers(VerifiedBlock, MakerBlock):
    """Given answers in the model's own wording: CapsFusion (arXiv:2310.20550)."""

    method: Literal["fuse_answers"]
    temperature: float = Field(default=0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=512, gt=0, description="A longer answer is dropped.")
    verify: tuple[Verifier, ...] = Field(
        default=(Judged(method="judged"),),
        description="What a fused answer must be, in this order; none: its facts are all that is "
        "looked at.",
    )

    prompts: ClassVar[Sequence[str]] = ("fuse_answers",)
    takes_over: ClassVar[bool] = True

    def takes(self, example: Example) -> bool:
        """Rows with one response, which the verifiers can look at."""
        return is_asked_once(example) and all(each.takes(example) for each in self.verify)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_fuse_answers(self, source) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """An answer, and a fused one where there is an answer to fuse; what is verified of it."""
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(sources, 2 * sources, self.max_new_tokens)
        }
        return self.with_verifying(own, sources)


def make_by_fuse_answers(settings: FuseAnswers, source: Example) -> Making:
    """The model's answer, the fused one, and the given one where that is none."""
    kept = Settled((), source.conversation, "kept")
    ask = ask_to_write(settings, source, "own", source.conversation.prompt)
    places = [ask.place]
    own = yield from ask_text(ask, lambda text: fault_of_repeating(text, source))
    if isinstance(own, Unread):
        return [Settled(places, None, own.reason), kept]
    shown = {"prompt": last_prompt_text(source), "given": source.response, "own": own}
    wanted = end_prompt_with(source, fill_prompt("fuse_answers", shown))
    ask = ask_to_write(settings, source, "fused", wanted)
    places.append(ask.place)
    fused = yield from ask_text(ask, lambda text: fault_of_fused(settings, source, own, text))
    if isinstance(fused, Unread):
        return [Settled(places, None, fused.reason), kept]
    told = (yield from verify_all(settings.verify, source, {ask.place: fused}))[ask.place]
    places += told.asked
    if told.fault:
        return [Settled(places, None, told.fault), kept]
    return [Settled(places, answer_source(source, fused), "fused")]


def ask_to_write(
    settings: FuseAnswers, source: Example, stage: str, messages: Sequence[Message]
) -> Ask:
    """One of the two texts that the model writes."""
    return Ask(
        stage, 0, messages, settings.temperature, settings.max_new_tokens, tools=source.tools
    )


def fault_of_repeating(text: str, source: Example) -> str:
    """Whether a text is the given answer by its words, which leaves nothing to do; "" where not."""
    return "copy_of_given" if split_words(text) == split_words(source.response) else ""


def fault_of_fused(settings: FuseAnswers, source: Example, own: str, text: str) -> str:
    """Why a text is not the given answer in other words; "" where it may be."""
    given = source.response
    if fault := fault_of_repeating(text, source):
        return fault
    short = len(split_words(given)) <= SHORT
    if not facts_of(given) <= facts_in(text, given) or (
        short and not says_same(text, given, "words")
    ):
        return "fact_lost"
    if not facts_of(text) <= facts_in("\n".join((source.prompt, given, own)), text):
        return "fact_invented"
    if stand_side_by_side(text, given, own):
        return "side_by_side"
    if SPEAKS_OF_ANSWERS.search(text) and not SPEAKS_OF_ANSWERS.search(f"{source.prompt} {given}"):
        return "speaks_of_answers"
    return fault_of_wording(text, settings.prompts, alone=False)


def stand_side_by_side(text: str, given: str, own: str) -> bool:
    """Whether a text is two others, one behind the other; not where one of them holds the other."""
    as_long = len(split_words(text)) >= HELD * len(split_words(f"{given} {own}"))
    return as_long and holds(text, given) and holds(text, own)


def facts_of(text: str) -> set[str]:
    """Numbers, addresses and quoted texts of a text, each in one way of writing."""
    without = ADDRESS.sub(" ", text)
    numbers = {plain_number(found[0]) for found in NUMBER.finditer(without)}
    return numbers | {*addresses_of(text)} | {said(quoted) for quoted in quoted_in(without)}


def facts_in(text: str, told: str) -> set[str]:
    """Facts of `told` that a text has too; of what is quoted there, with quotes or without."""
    spoken = f" {said(text)} "
    quoted = {said(each) for each in quoted_in(ADDRESS.sub(" ", told))}
    return facts_of(text) | {each for each in quoted if f" {each} " in spoken}


def addresses_of(text: str) -> Iterator[str]:
    """Addresses of the web, without the signs that end a sentence behind them."""
    return (found[0].rstrip(".,;:!?'") for found in ADDRESS.finditer(text))


def quoted_in(text: str) -> Iterator[str]:
    """What stands in quotes."""
    return (next(filter(None, found.groups())) for found in QUOTED.finditer(text))


def said(text: str) -> str:
    """The words of a text."""
    return " ".join(split_words(text))


def plain_number(text: str) -> str:
    """A number as it is written without separators of thousands and without ending zeros.

    A comma is one where three digits follow each, and else a decimal point.
    """
    digits = re.sub("[\u202f\u00a0']", "", text)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    digits = digits.replace(",", ".")
    whole, point, rest = digits.partition(".")
    rest = rest.rstrip("0") if "." not in rest else rest
    return (whole.lstrip("0") or "0") + (point + rest if rest else "")


def holds(text: str, other: str) -> bool:
    """Whether a text has nearly all runs of words of another."""
    words = split_words(other)
    size = min(RUN, len(words))
    runs = {*runs_of(words, size)} if size else set()
    found = runs & {*runs_of(split_words(text), size)} if size else runs
    return len(found) >= HELD * len(runs)
