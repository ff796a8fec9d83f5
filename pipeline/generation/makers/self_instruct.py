r"""Self-Instruct: new tasks like those of a seed pool, each with an input and an output.

    keep an instruction t  <=>  no s in seeds or accepted has ROUGE-L F(t, s) > 0.7

F is that of pipeline/text/word_overlap.py, without stemming; at 0.7 itself it stays, as in the
authors' code, where the paper says "less than". A prompt shows `shown_seeds` seeds and
`shown_made` accepted tasks, drawn by a seeded hash, and asks for a numbered list that goes on from
there. Of a list that was cut off the last item goes. An instruction has 4 to 150 words, begins
with a letter or digit of ASCII, is not "Write a program", and names nothing that is not text, such
as an image or a file. Then the model is asked whether it is a classification: if so the label is
written before the input, else the input before the output, so that labels do not all come out
alike. An instance goes where the output is empty, is the input again, ends with a colon or
refuses, and where the same input has two outputs. A row is the instruction with its input, and the
output. Its parents are the seeds that were shown; it stands beside them.

Wang et al. 2023, arXiv:2212.10560. The paper has a base model continue its prompts; here a chat
model is asked, with prompts of our own: for instructions at `temperature`, for the rest at 0.

For a pool of a few dozen tasks that shall become broader; the rows are as good as the model is, so
for a model better than the one trained, or with a judge behind it. Not for tasks whose output can
be checked: rejection tells right from wrong there. It costs a call for each prompt, 1 for each
accepted instruction and 1 for its instance: 2.2 a row at best, far more with a model that repeats
itself. A task is compared with all accepted ones, in some microseconds each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.instruction_lists import (
    TaskInstance,
    fault_of_instruction,
    read_instances,
    read_instructions,
)
from pipeline.generation.judging import ONE_WORD, VERDICT_TOKENS, read_yes_or_no
from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    is_question,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock
from pipeline.generation.templates import fill_turns
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.word_overlap import is_near_any
from scorers.words import split_words
from storage.conversations import Conversation, content_hash
from storage.examples import Example

TOGETHER_ASKED = 4
"""Prompts for instructions in one round: none of them sees what the others bring."""


class SelfInstruct(MakerBlock):
    """New tasks like those of the pool: Self-Instruct (arXiv:2212.10560)."""

    method: Literal["self_instruct"]
    instructions: int = Field(default=100, gt=0, description="New instructions that are wanted.")
    prompts_at_most: int = Field(
        default=50, gt=0, description="Prompts for instructions, however few they bring."
    )
    shown_seeds: int = Field(default=6, gt=0, description="Seeds in a prompt.")
    shown_made: int = Field(default=2, ge=0, description="New instructions in a prompt.")
    asked_for: int = Field(default=8, gt=0, description="Instructions a prompt asks for.")
    similarity_at_most: float = Field(
        default=0.7, ge=0, le=1, description="ROUGE-L F with a seed or a new one; more is a copy."
    )
    temperature: float = Field(default=0.7, ge=0, description="Of new instructions.")
    max_new_tokens: int = Field(default=512, gt=0, description="Of each reply.")

    prompts: ClassVar[Sequence[str]] = (
        "self_instruct_instructions",
        "self_instruct_classification",
        "self_instruct_input_first",
        "self_instruct_output_first",
    )

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

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""
        return {WHOLE_POOL: make_by_self_instruct(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Prompts, until there are instructions enough; then two more for each of these."""
        if not sources:
            return {}
        fewest = min(self.prompts_at_most, -(-self.instructions // self.asked_for))
        most = self.prompts_at_most + self.instructions
        return {
            "generate": CallBounds(fewest, most, self.max_new_tokens),
            "judge": CallBounds(0, self.instructions, VERDICT_TOKENS),
        }


@dataclass(slots=True)
class TaskPool:
    """The seeds, and the instructions that were accepted."""

    seeds: Mapping[str, str]  # example id → instruction
    accepted: list[str] = field(default_factory=list)
    words: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words += [split_words(text) for text in self.seeds.values()]

    def fault(self, instruction: str, similarity_at_most: float) -> str:
        """Why an instruction is not accepted; "" where it is, and in the pool from now on."""
        fault = fault_of_instruction(instruction)
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


def make_by_self_instruct(settings: SelfInstruct, sources: Sequence[Example], seed: int) -> Making:
    """Ask for instructions until there are enough, and for an instance of each."""
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
        verdicts = yield Wanted([ask_kind(idea) for idea in ideas])
        kinds = [read_yes_or_no(verdict) for verdict in verdicts]
        settled += [
            Settled(
                [idea.reply, ("classification", idea.number)],
                None,
                f"kind_{kind.reason}",
                idea.parents,
            )
            for idea, kind in zip(ideas, kinds, strict=True)
            if isinstance(kind, Unread)
        ]
        told = [
            (idea, kind)
            for idea, kind in zip(ideas, kinds, strict=True)
            if not isinstance(kind, Unread)
        ]
        instances = yield Wanted([ask_instance(settings, idea, kind) for idea, kind in told])
        for (idea, kind), instance in zip(told, instances, strict=True):
            settled += settle_instances(idea, read_instances(instance, label_first=kind))
    return settled


def draw_shown(
    settings: SelfInstruct, pool: TaskPool, seed: int, number: int
) -> tuple[list[str], list[str]]:
    """Ids of the seeds, and the new instructions, that a prompt shows."""

    def drawn(texts: Sequence[str], k: int) -> list[str]:
        return sorted(texts, key=lambda text: content_hash([seed, "shown", number, text]))[:k]

    return drawn([*pool.seeds], settings.shown_seeds), drawn(pool.accepted, settings.shown_made)


def ask_instructions(
    settings: SelfInstruct, pool: TaskPool, number: int, shown: tuple[list[str], list[str]]
) -> Ask:
    """A prompt for a list that goes on where the shown one ends."""
    texts = [*(pool.seeds[each] for each in shown[0]), *shown[1]]
    listed = [f"{at}. {' '.join(text.split())}" for at, text in enumerate(texts, start=1)]
    first = len(listed) + 1
    fields = {"tasks": "\n".join(listed), "first": str(first)}
    fields |= {"last": str(first + settings.asked_for - 1), "more": str(settings.asked_for)}
    messages = fill_turns("self_instruct_instructions", fields)
    return Ask("instructions", number, messages, settings.temperature, settings.max_new_tokens)


def accept(
    settings: SelfInstruct,
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
        for text in read:
            number = len(pool.accepted)
            enough = number >= settings.instructions
            fault = "enough" if enough else pool.fault(text, settings.similarity_at_most)
            if fault:
                settled.append(Settled([ask.place], None, fault, seeds))
            else:
                ideas.append(Idea(number, text, ask.place, seeds))
    return ideas, settled


def ask_kind(idea: Idea) -> Ask:
    """Whether an instruction is a classification."""
    messages = fill_turns("self_instruct_classification", {"task": idea.text})
    return Ask("classification", idea.number, messages, 0.0, VERDICT_TOKENS, "judge", form=ONE_WORD)


def ask_instance(settings: SelfInstruct, idea: Idea, classification: bool) -> Ask:
    """An input and an output, in the order that the kind of task wants."""
    name = "output_first" if classification else "input_first"
    messages = fill_turns(f"self_instruct_{name}", {"task": idea.text})
    return Ask("instance", idea.number, messages, 0.0, settings.max_new_tokens)


def settle_instances(idea: Idea, read: list[TaskInstance] | Unread) -> list[Settled]:
    """The rows of one instruction, or why there are none."""
    places = [idea.reply, ("classification", idea.number), ("instance", idea.number)]
    if isinstance(read, Unread):
        return [Settled(places, None, read.reason, idea.parents)]
    return [
        Settled(places, None, each.fault, idea.parents)
        if each.fault
        else Settled(places, task_row(idea.text, each), "instance", idea.parents)
        for each in read
    ]


def task_row(instruction: str, instance: TaskInstance) -> Conversation:
    """The instruction, its input behind it, and the output as the answer."""
    asked = f"{instruction}\n\n{instance.input}" if instance.input else instruction
    return Conversation(
        [{"role": "user", "content": asked}, {"role": "assistant", "content": instance.output}]
    )
