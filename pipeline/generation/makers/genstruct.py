r"""Genstruct: a passage becomes a situation with a problem, and a solution that follows from it.

    (x, y) ~ M(problem, solution | passage, headings)      `problems_each` times, in one call each
    kept   where every number of y stands in the passage or x, or follows from such

One reply, JSON of two fields, has both. It goes if the problem or the solution speaks of a passage,
declines or has no content, the solution has less than `least_words` words, or a number in it is not
founded (pipeline/text/founded_numbers.py: in digits or words before it, or the sum, difference,
product or quotient of two of those). Of problems of a passage that are alike (ROUGE-L F above
`similarity_at_most`) the first stays. Rows have their passage as their parent.

Genstruct is a model of 7B (NousResearch/Genstruct-7B, 2024) without a paper, in the manner of
Ada-Instruct, Cui and Wang 2023, arXiv:2310.04484. It goes on from a text of a form of its own, and
is not what is asked here: any model for chats is, in words of our own.

For texts that hold facts which something can be done with: manuals, rules, papers. Not for facts
alone, which document_questions asks for; nor for a small model, which solves nothing: have
`entailed` or `judged` look at solutions. Numbers that follow by chance pass. It costs 1 call a
problem, and what the verifiers cost.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    one_exchange,
)
from pipeline.generation.maker_block import CallBounds, PassageMakerBlock
from pipeline.generation.templates import fill_prompt, passage_fields
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import ground_question, verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.written_text import fault_of_wording, has_no_content
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.founded_numbers import find_unfounded
from pipeline.text.word_overlap import is_near_any
from scorers.words import split_words
from storage.documents import SourcePassage

PROMPT = "genstruct"

FORM = form_of({name: {"type": "string"} for name in ("problem", "solution")})


class Genstruct(VerifiedBlock, PassageMakerBlock):
    """Problems of passages with their solutions, in the manner of Genstruct (arXiv:2310.04484)."""

    method: Literal["genstruct"]
    problems_each: int = Field(default=1, gt=0, description="Problems asked of each passage.")
    least_words: int = Field(default=20, gt=0, description="Words of a solution, at least.")
    similarity_at_most: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="ROUGE-L F with another problem of the passage; more is a copy.",
    )
    temperature: float = Field(default=0.7, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=512, gt=0, description="Of each reply.")
    verify: tuple[Verifier, ...] = Field(
        default=(), description="What a solution must be, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (PROMPT,)

    def takes(self, passage: SourcePassage) -> bool:
        """Passages that say something."""
        return not has_no_content(passage.text)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.problems_each

    def makings(self, passages: Sequence[SourcePassage], seed: int) -> Mapping[str, Making]:
        """One for each passage."""
        return {each.passage_id: make_by_genstruct(self, each) for each in passages}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A call for each problem, and what the verifiers ask of those that stay."""
        calls = sources * self.problems_each
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(calls, calls, self.max_new_tokens)
        }
        return self.with_verifying(own, calls)


def make_by_genstruct(settings: Genstruct, passage: SourcePassage) -> Making:
    """Ask for all problems of a passage at once, and keep those that are new and founded."""
    shown = fill_prompt(PROMPT, passage_fields(passage))
    messages = [{"role": "user", "content": shown}]
    asks = [
        Ask("problem", n, messages, settings.temperature, settings.max_new_tokens, form=FORM)
        for n in range(settings.problems_each)
    ]
    replies = yield Wanted(asks)
    settled: list[Settled] = []
    before: list[list[str]] = []
    for ask, reply in zip(asks, replies, strict=True):
        made = yield from settle_problem(settings, passage.text, ask, reply, before)
        settled.append(made)
        if made.row is not None:
            before.append(split_words(str(made.row.messages[0]["content"])))
    return settled


def settle_problem(
    settings: Genstruct,
    passage: str,
    ask: Ask,
    reply: Sampled,
    before: Sequence[Sequence[str]],
) -> Generator[Wanted, Sequence[Sampled], Settled]:
    """The row of a reply, or why there is none.

    Args:
        settings: of the maker.
        passage: the text that was shown.
        ask: what was asked.
        reply: to it.
        before: words of the problems of this passage that stay.
    """
    read = read_json_object(reply, FORM)
    if isinstance(read, Unread):
        return Settled([ask.place], None, read.reason)
    problem, solution = str(read["problem"]).strip(), str(read["solution"]).strip()
    fault = fault_of_problem(settings, problem, solution, passage)
    if not fault and is_near_any(split_words(problem), before, settings.similarity_at_most):
        fault = "copy"
    if fault:
        return Settled([ask.place], None, fault)
    source = ground_question(problem, passage)
    told = (yield from verify_all(settings.verify, source, {ask.place: solution}))[ask.place]
    row = None if told.fault else one_exchange(problem, solution)
    return Settled([ask.place, *told.asked], row, told.fault or "problem")


def fault_of_problem(settings: Genstruct, problem: str, solution: str, passage: str) -> str:
    """Why a problem and its solution make no row; "" where they do."""
    for text in (problem, solution):
        if fault := fault_of_wording(text, (PROMPT,)):
            return fault
    if len(split_words(solution)) < settings.least_words:
        return "too_short"
    return "unfounded_number" if find_unfounded(solution, f"{passage}\n{problem}") else ""
