r"""Persona: for each description of a person the model writes what they would ask, and answers it.

    k   ~ uniform over `kinds`                  by a seeded hash of the persona and the number
    q   ~ M(q | persona, k)                     `requests_each` times
    row = q -> a,   a ~ M(a | q)                the answer has not seen the persona

Personas are rows that are a prompt only, whose text describes somebody; a list of many people makes
requests of many kinds without any seed task. They leave the pool, and a row has its persona as its
parent. A request goes if it has eight words in a row of what was shown, the description among it,
declines or has no content; an answer that has five words in a row of the description goes too
(`speaks_of_persona`), for nobody told it. Kinds are lines of makers/prompts/persona_kinds.txt.

Persona Hub: Ge et al. 2024, arXiv:2406.20094; the skills are those of Tulu 3, Lambert et al. 2024,
arXiv:2411.15124. Tulu's requests with rules have their numbers made up by the writer, so that
nothing can check the answer; here `constrained` reads these rows and adds rules that it draws.

For requests of many kinds where there is no pool, with a model that writes and answers well.
Not for the model that is trained itself, whose requests are all alike: `dedupe` behind it by the
prompt shows how much. Answers are verified by `verify` alone. It costs 2 calls a row, and 1 for
each request that goes.
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
    ask_text,
    draw_option,
    is_question,
    one_exchange,
    side_by_side,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fill_prompt, named_lines, read_prompt_text
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import ground_question
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.written_text import fault_of_wording
from pipeline.measuring.measures.samples import Sampled
from storage.examples import Example

REQUEST, KINDS = "persona_request", "persona_kinds"

PERSONA_WORDS = 5
"""Words in a row of a persona that an answer may not have: personas are one sentence."""


class Persona(VerifiedBlock, MakerBlock):
    """What a described person would ask, answered: Persona Hub (arXiv:2406.20094)."""

    method: Literal["persona"]
    kinds: tuple[Literal["request", "question", "maths", "code"], ...] = Field(
        default=("request", "question", "maths", "code"),
        min_length=1,
        description="Kinds of requests, drawn alike.",
    )
    requests_each: int = Field(default=1, gt=0, description="Requests of each persona.")
    temperature: float = Field(default=0.7, ge=0, description="Of requests.")
    answer_temperature: float = Field(default=0.0, ge=0, description="Of answers.")
    max_new_tokens: int = Field(default=512, gt=0, description="Of each reply.")
    verify: tuple[Verifier, ...] = Field(
        default=(), description="What an answer must be, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (REQUEST, KINDS)
    takes_over: ClassVar[bool] = True

    def takes(self, example: Example) -> bool:
        """Rows that are one message, without an answer."""
        return is_question(example) and example.response_at is None

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.requests_each

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each persona."""
        return {source.example_id: make_by_persona(self, source, seed) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A request, and its answer where it stays."""
        requests = sources * self.requests_each
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(requests, 2 * requests, self.max_new_tokens)
        }
        return self.with_verifying(own, requests)


def make_by_persona(settings: Persona, source: Example, seed: int) -> Making:
    """Ask for each request by itself, and for its answer."""
    return (
        yield from side_by_side(
            [
                make_request(settings, source, number, seed)
                for number in range(settings.requests_each)
            ]
        )
    )


def make_request(
    settings: Persona, source: Example, number: int, seed: int
) -> Generator[Wanted, Sequence[Sampled], Settled]:
    """The row of one request, or why there is none."""
    persona = source.prompt.strip()
    shown = fill_prompt(
        REQUEST, {"persona": persona, "kind": draw_kind(settings, persona, number, seed)}
    )
    asking = ask_of_persona("request", number, shown, settings.temperature, settings)
    request = yield from ask_text(asking, lambda text: fault_of_message(text, persona))
    if isinstance(request, Unread):
        return Settled([asking.place], None, request.reason)
    answering = ask_of_persona("answer", number, request, settings.answer_temperature, settings)
    (reply,) = yield Wanted([answering])
    asked = ground_question(request, "")
    answer, fault, places = yield from settings.read_answer(
        answering, reply, asked, settings.prompts
    )
    if not fault and repeats_shown(answer, [persona], PERSONA_WORDS):
        fault = "speaks_of_persona"
    row = None if fault else one_exchange(request, answer)
    return Settled([asking.place, *places], row, fault or "answer")


def ask_of_persona(
    stage: str, number: int, text: str, temperature: float, settings: Persona
) -> Ask:
    """One message."""
    messages = [{"role": "user", "content": text}]
    return Ask(stage, number, messages, temperature, settings.max_new_tokens)


def draw_kind(settings: Persona, persona: str, number: int, seed: int) -> str:
    """What the message is to be, by a seeded hash."""
    told = named_lines(read_prompt_text(KINDS))
    return told[draw_option(settings.kinds, [seed, "kind", persona, number])]


def fault_of_message(text: str, persona: str) -> str:
    """Why a request goes; "" where it stays."""
    if repeats_shown(text, [persona]):
        return "repeats_persona"
    return fault_of_wording(text, (REQUEST, KINDS), alone=False)
