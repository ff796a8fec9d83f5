r"""Orca: prompts are answered again, at the request of a system message that wants an explanation.

    s ~ uniform over the system messages                 by a seeded hash of the row
    row = s, x -> y,    y ~ M(s, x)

A short answer shows what is right, and an explained one how it is come to: the row has the system
message, so that a student learns to explain where it is asked to. An answer goes if it repeats
eight words in a row of the system message, declines or has no content, or by the verifiers of
`verify`: with `final_answer`, explanations that do not end on the given answer. Rows stand beside
their sources.

Orca: Mukherjee et al. 2023, arXiv:2306.02707, on queries of the FLAN collection; as one of three
schemes of OpenBezoar, Dissanayake et al. 2024, arXiv:2404.12195, each judged afterwards: see
`verified`. The 16 system messages of Orca and those of OpenBezoar are not repeated: the eight in
makers/prompts/orca_systems.txt are our own, and `systems` gives others.

For tasks with terse answers, and a model that is better than the one trained. Not for a model that
explains what it gets wrong: check what can be checked. Not for prompts with a system message of
their own, tools or other turns; those are passed over. It costs 1 call a row, and what the
verifiers cost.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    ask_text,
    draw_option,
    is_question,
    last_prompt_text,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import read_prompt_text
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.written_text import fault_of_wording
from storage.conversations import Conversation
from storage.examples import Example

SYSTEMS = "orca_systems"
"""A file with a system message on each line."""


class Orca(VerifiedBlock, MakerBlock):
    """Answers with explanations, at the request of a system message: Orca (arXiv:2306.02707)."""

    method: Literal["orca"]
    systems: tuple[str, ...] = Field(
        default=(), description="System messages of your own, in place of those that are there."
    )
    temperature: float = Field(default=0.7, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=1024, gt=0, description="A longer answer is dropped.")
    verify: tuple[Verifier, ...] = Field(
        default=(), description="What an answer must be, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (SYSTEMS,)

    def takes(self, example: Example) -> bool:
        """Rows of one question, about which each verifier can tell something."""
        return is_question(example) and all(each.takes(example) for each in self.verify)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {
            source.example_id: make_by_orca(self, source, draw_system(self, source, seed))
            for source in sources
        }

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """An answer for each, and its verifiers."""
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(sources, sources, self.max_new_tokens)
        }
        return self.with_verifying(own, sources)


def draw_system(settings: Orca, source: Example, seed: int) -> str:
    """The system message of a row, by a seeded hash."""
    systems = settings.systems or read_prompt_text(SYSTEMS).splitlines()
    return draw_option(systems, [seed, "system", source.example_id])


def make_by_orca(settings: Orca, source: Example, system: str) -> Making:
    """Ask for an explained answer, and have it verified."""
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": last_prompt_text(source)},
    ]
    ask = Ask("answer", 0, messages, settings.temperature, settings.max_new_tokens)
    answer = yield from ask_text(ask, lambda text: fault_of_explained(text, system))
    if isinstance(answer, Unread):
        return [Settled([ask.place], None, answer.reason)]
    told = (yield from verify_all(settings.verify, source, {ask.place: answer}))[ask.place]
    places = [ask.place, *told.asked]
    if told.fault:
        return [Settled(places, None, told.fault)]
    row = Conversation([*messages, {"role": "assistant", "content": answer}])
    return [Settled(places, row, "explained")]


def fault_of_explained(text: str, system: str) -> str:
    """Why an answer makes no row; "" where it does."""
    if repeats_shown(text, [system]):
        return "repeats_system"
    return fault_of_wording(text, (), alone=False)
