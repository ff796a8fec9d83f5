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

from collections.abc import Generator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.instruction_lists import TaskInstance, read_instances
from pipeline.generation.judging import ONE_WORD, VERDICT_TOKENS, read_yes_or_no
from pipeline.generation.maker import Ask, CallKind, Making, Settled, Unread, Wanted
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds
from pipeline.generation.task_lists import Idea, TaskListBlock, make_of_lists
from pipeline.generation.templates import fill_turns
from pipeline.measuring.measures.samples import Sampled
from storage.conversations import Conversation
from storage.examples import Example


class SelfInstruct(TaskListBlock):
    """New tasks like those of the pool: Self-Instruct (arXiv:2212.10560)."""

    method: Literal["self_instruct"]
    shown_made: int = Field(default=2, ge=0, description="New instructions in a prompt.")

    prompts: ClassVar[Sequence[str]] = (
        "self_instruct_instructions",
        "self_instruct_classification",
        "self_instruct_input_first",
        "self_instruct_output_first",
    )

    @property
    def made_in_prompt(self) -> int:
        """See TaskListBlock."""
        return self.shown_made

    def list_prompt(self, number: int) -> tuple[str, Mapping[str, str]]:
        """See TaskListBlock."""
        return "self_instruct_instructions", {}

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""
        return {WHOLE_POOL: make_by_self_instruct(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Prompts, until there are instructions enough; then two more for each of these."""
        if not sources:
            return {}
        most = self.prompts_at_most + self.instructions
        return {
            "generate": CallBounds(self.fewest_prompts, most, self.max_new_tokens),
            "judge": CallBounds(0, self.instructions, VERDICT_TOKENS),
        }


def make_by_self_instruct(settings: SelfInstruct, sources: Sequence[Example], seed: int) -> Making:
    """Ask for instructions until there are enough, and for an instance of each."""
    return make_of_lists(settings, sources, seed, lambda ideas: ask_instances(settings, ideas))


def ask_instances(
    settings: SelfInstruct, ideas: Sequence[Idea]
) -> Generator[Wanted, Sequence[Sampled], list[Settled]]:
    """Ask of each instruction which kind it is, and for an instance of it."""
    verdicts = yield Wanted([ask_kind(idea) for idea in ideas])
    kinds = [read_yes_or_no(verdict) for verdict in verdicts]
    settled = [
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
