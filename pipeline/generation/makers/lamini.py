r"""LaMini: new instructions like those of a seed pool, with topics or without, and their answers.

    instruction ~ M(3 seeds, topic)        every second prompt with one of `topics`, in turn
    row         = instruction -> M(instruction)

Lists are asked for as for self_instruct, and by its rules a new instruction is none, or one like a
seed or an accepted one (ROUGE-L F above `similarity_at_most`). But the model is shown seeds alone,
and it answers an instruction as it stands: no input is made for it. An answer that declines or has
no content makes no row. A row's parents are the seeds that were shown; it stands beside them.

LaMini-LM: Wu et al. 2023, arXiv:2304.14402, whose topics are Wikipedia's; as one of three schemes
of OpenBezoar, Dissanayake et al. 2024, arXiv:2404.12195, each judged afterwards: see `verified`.
Neither published the prompts that were used; these are our own.

For a pool of a few dozen tasks that shall become many on topics that are known. Not for tasks that
work on a text, which self_instruct writes as well; nor without a judge behind it, for a model
answers whatever it asks. It costs a call for each prompt, and 1 for each accepted instruction.
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
    one_exchange,
    read_whole,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds
from pipeline.generation.task_lists import Idea, TaskListBlock, make_of_lists
from pipeline.generation.written_text import fault_of_wording
from pipeline.measuring.measures.samples import Sampled
from storage.examples import Example

PROMPT = "lamini_instructions"


class LaMini(TaskListBlock):
    """New instructions with their answers: LaMini-LM (arXiv:2304.14402)."""

    method: Literal["lamini"]
    shown_seeds: int = Field(default=3, gt=0, description="Seeds in a prompt.")
    topics: tuple[str, ...] = Field(
        default=(), description="What every second prompt asks for tasks about, in turn."
    )
    answer_temperature: float = Field(default=0.0, ge=0, description="Of answers.")

    prompts: ClassVar[Sequence[str]] = (PROMPT,)

    def list_prompt(self, number: int) -> tuple[str, Mapping[str, str]]:
        """See TaskListBlock."""
        with_topic = self.topics and number % 2
        topic = self.topics[number // 2 % len(self.topics)] if with_topic else ""
        return PROMPT, {"about": f" about {topic}" if topic else ", on other topics"}

    def rows_at_most(self, sources: int) -> int:
        """An answer to each instruction."""
        return self.instructions if sources else 0

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""

        def answer(ideas: Sequence[Idea]) -> Generator[Wanted, Sequence[Sampled], list[Settled]]:
            return answer_ideas(self, ideas)

        return {WHOLE_POOL: make_of_lists(self, sources, seed, answer)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Prompts, until there are instructions enough; then an answer to each."""
        if not sources:
            return {}
        most = self.prompts_at_most + self.instructions
        return {"generate": CallBounds(self.fewest_prompts, most, self.max_new_tokens)}


def answer_ideas(
    settings: LaMini, ideas: Sequence[Idea]
) -> Generator[Wanted, Sequence[Sampled], list[Settled]]:
    """Ask for the answer to each instruction; a row of each that has one."""
    asks = [
        Ask(
            "answer",
            idea.number,
            [{"role": "user", "content": idea.text}],
            settings.answer_temperature,
            settings.max_new_tokens,
        )
        for idea in ideas
    ]
    replies = yield Wanted(asks)
    settled = []
    for idea, ask, reply in zip(ideas, asks, replies, strict=True):
        read = read_whole(reply)
        fault = read.reason if isinstance(read, Unread) else fault_of_lamini_answer(read)
        row = None if fault else one_exchange(idea.text, str(read).strip())
        settled.append(Settled([idea.reply, ask.place], row, fault or "answer", idea.parents))
    return settled


def fault_of_lamini_answer(text: str) -> str:
    """Why an answer makes no row; "" where it does."""
    return fault_of_wording(text, (PROMPT,), alone=False)
