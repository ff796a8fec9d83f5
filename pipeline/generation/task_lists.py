"""Makers that ask for lists of new tasks, shown some of the pool: what these share.

A prompt shows seeds, and accepted tasks where the maker wants it, drawn by a seeded hash, and asks
for a numbered list that goes on from there. Four prompts are asked at a time, until there are tasks
enough; what is done with the accepted ones of a round is up to the maker.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import Field

from pipeline.generation.instruction_lists import fault_of_instruction, read_instructions
from pipeline.generation.maker import (
    Ask,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    is_question,
)
from pipeline.generation.maker_block import MakerBlock
from pipeline.generation.templates import fill_turns, fixed_text
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.word_overlap import is_near_any
from scorers.words import split_words
from storage.conversations import content_hash
from storage.examples import Example

TOGETHER_ASKED = 4
"""Prompts for instructions in one round: none of them sees what the others bring."""


class TaskListBlock(MakerBlock):
    """The fields of makers that ask for lists of tasks."""

    instructions: int = Field(default=100, gt=0, description="New instructions that are wanted.")
    prompts_at_most: int = Field(
        default=50, gt=0, description="Prompts for instructions, however few they bring."
    )
    shown_seeds: int = Field(default=6, gt=0, description="Seeds in a prompt.")
    asked_for: int = Field(default=8, gt=0, description="Instructions a prompt asks for.")
    similarity_at_most: float = Field(
        default=0.7, ge=0, le=1, description="ROUGE-L F with a seed or a new one; more is a copy."
    )
    temperature: float = Field(default=0.7, ge=0, description="Of new instructions.")
    max_new_tokens: int = Field(default=512, gt=0, description="Of each reply.")

    @property
    def makes_of_whole(self) -> bool:
        """All seeds are shown together."""
        return True

    def takes(self, example: Example) -> bool:
        """Rows of one question: with a system prompt, or after other turns, it says less."""
        return is_question(example)

    def rows_each(self) -> int:
        """None comes of one alone."""
        return 0

    def rows_at_most(self, sources: int) -> int | None:
        """However many instances the model writes for an instruction."""
        return None if sources else 0

    @property
    def made_in_prompt(self) -> int:
        """New instructions that are shown in a prompt."""
        return 0

    @property
    def fewest_prompts(self) -> int:
        """Prompts for instructions, if each brings as many as it asks for."""
        return min(self.prompts_at_most, -(-self.instructions // self.asked_for))

    def list_prompt(self, number: int) -> tuple[str, Mapping[str, str]]:
        """The file of a prompt for a list, and what it is filled with besides the tasks."""
        raise NotImplementedError


@dataclass(slots=True)
class TaskPool:
    """The seeds, and the instructions that were accepted."""

    seeds: Mapping[str, str]  # example id → instruction
    accepted: list[str] = field(default_factory=list)
    words: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words += [split_words(text) for text in self.seeds.values()]

    def fault(self, instruction: str, similarity_at_most: float, shown: Sequence[str]) -> str:
        """Why an instruction is not accepted; "" where it is, and in the pool from now on."""
        fault = fault_of_instruction(instruction, shown)
        words = split_words(instruction)
        if not fault and is_near_any(words, self.words, similarity_at_most):
            fault = "too_similar"
        if not fault:
            self.accepted.append(instruction)
            self.words.append(words)
        return fault


@dataclass(frozen=True, slots=True)
class Idea:
    """An instruction that was accepted."""

    number: int
    text: str
    reply: CallPlace
    parents: Sequence[str]  # the seeds that were shown


SettlingIdeas: TypeAlias = Callable[
    [Sequence[Idea]], Generator[Wanted, Sequence[Sampled], list[Settled]]
]
"""What a maker does with the instructions of a round."""


def make_of_lists(
    settings: TaskListBlock, sources: Sequence[Example], seed: int, settle_ideas: SettlingIdeas
) -> Making:
    """Ask for instructions until there are enough, and have rows made of those of each round."""
    pool = TaskPool({source.example_id: source.prompt for source in sources})
    settled: list[Settled] = []
    asked = 0
    while asked < settings.prompts_at_most and len(pool.accepted) < settings.instructions:
        numbers = range(asked, min(asked + TOGETHER_ASKED, settings.prompts_at_most))
        asked = numbers.stop
        shown = [draw_shown(settings, pool, seed, number) for number in numbers]
        asks = [ask_instructions(settings, pool, n, s) for n, s in zip(numbers, shown, strict=True)]
        replies = yield Wanted(asks, settled)
        ideas, settled = accept(settings, pool, shown, list(zip(asks, replies, strict=True)))
        settled += yield from settle_ideas(ideas)
    return settled


def draw_shown(
    settings: TaskListBlock, pool: TaskPool, seed: int, number: int
) -> tuple[list[str], list[str]]:
    """Ids of the seeds, and the new instructions, that a prompt shows."""

    def drawn(texts: Sequence[str], k: int) -> list[str]:
        return sorted(texts, key=lambda text: content_hash([seed, "shown", number, text]))[:k]

    return drawn([*pool.seeds], settings.shown_seeds), drawn(pool.accepted, settings.made_in_prompt)


def ask_instructions(
    settings: TaskListBlock, pool: TaskPool, number: int, shown: tuple[list[str], list[str]]
) -> Ask:
    """A prompt for a list that goes on where the shown one ends."""
    texts = [*(pool.seeds[each] for each in shown[0]), *shown[1]]
    listed = [f"{at}. {' '.join(text.split())}" for at, text in enumerate(texts, start=1)]
    first = len(listed) + 1
    name, fields = settings.list_prompt(number)
    fields = {**fields, "tasks": "\n".join(listed), "first": str(first)}
    fields |= {"last": str(first + settings.asked_for - 1), "more": str(settings.asked_for)}
    messages = fill_turns(name, fields)
    return Ask("instructions", number, messages, settings.temperature, settings.max_new_tokens)


def accept(
    settings: TaskListBlock,
    pool: TaskPool,
    shown: Sequence[tuple[list[str], list[str]]],
    replies: Sequence[tuple[Ask, Sampled]],
) -> tuple[list[Idea], list[Settled]]:
    """The instructions of some replies that are new, and what became of the others."""
    ideas: list[Idea] = []
    settled: list[Settled] = []
    for (ask, reply), (seeds, _) in zip(replies, shown, strict=True):
        read = read_instructions(reply)
        if isinstance(read, Unread):
            settled.append(Settled([ask.place], None, read.reason))
            continue
        wording = fixed_text(settings.list_prompt(ask.attempt)[0])
        for text in read:
            number = len(pool.accepted)
            enough = number >= settings.instructions
            fault = "enough" if enough else pool.fault(text, settings.similarity_at_most, wording)
            if fault:
                settled.append(Settled([ask.place], None, fault, seeds))
            else:
                ideas.append(Idea(number, text, ask.place, seeds))
    return ideas, settled
