r"""SELF-GUIDE: a model makes itself a data set for a task, from an instruction and a few examples.

    keep input x_k   <=>  it is none of the examples' or of those before, and passes the filters
    its output       =    the most frequent of `samples` outputs, if its share >= least_share

The rows of the pool are the examples of one task, `instruction`. In each of `epochs` rounds the
model is asked `inputs_each` times for one new input; a prompt shows the examples' inputs, as what
can be relied on, and one to ten of those made before, as what may be wrong, drawn and put in order
by a seeded hash. Outputs are asked for with the instruction and the examples as turns. A text goes
that is blank, has one of the texts `noise` in it, refuses, or repeats the prompt; with `lengths`,
one that lies further from the mean length of the examples' than two standard deviations, the bounds
included. Of outputs that are equally frequent the shortest stays. With `labels` each prompt for an
input wishes for one of them, which is forgotten: an output is the one label whose words it has,
and of each label that occurs equally many rows are kept.

Zhao et al. 2024, arXiv:2407.12874. 40 epochs of 10 at T = 0.7, 10 outputs at T = 0.2 and a share of
0.3 are the settings of the authors' code, which also samples among the likeliest 40 and 10 tokens
alone; that is not done here. They train on the prompt with its examples, which
`examples_in_prompt: false` leaves out. There is no judge: filters and agreement are all that is
checked.

For a task that can be shown in three examples, and the model that will be trained on it. Not for
tasks that it fails at ten times out of ten: it agrees with itself there too. It costs 1 call for
each input and `samples` for each that passes. The rows stand beside the examples.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import ceil, floor
from statistics import fmean, pstdev
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    read_whole,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock
from pipeline.generation.short_answers import says_same
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fill_prompt, fixed_text
from pipeline.generation.written_text import refuses
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import Message
from storage.conversations import Conversation, content_hash
from storage.examples import Example

Wording = Annotated[str, Field(min_length=1)]

SHOWN_MADE = 10
"""Inputs that were made before in a prompt, at most."""


class SelfGuide(MakerBlock):
    """Data for one task from a few examples: SELF-GUIDE (arXiv:2407.12874)."""

    method: Literal["self_guide"]
    instruction: Wording = Field(description="What the task is.")
    labels: tuple[Wording, ...] = Field(
        default=(), description="The outputs there are, of a classification."
    )
    epochs: int = Field(default=40, gt=0, description="Rounds of prompts for inputs.")
    inputs_each: int = Field(default=10, gt=0, description="Prompts in a round.")
    samples: int = Field(default=10, ge=1, description="Outputs for each input.")
    least_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of the outputs that must be the same."
    )
    noise: tuple[Wording, ...] = Field(
        default=("input", "output", "\\_", "how can I help", "happy to help"),
        description="Texts that no input or output has, whatever their case.",
    )
    lengths: tuple[Literal["inputs", "outputs"], ...] = Field(
        default=(), description="Of which the length is bounded by that of the examples."
    )
    examples_in_prompt: bool = Field(
        default=True, description="Whether the prompts of rows have the examples, as turns."
    )
    input_temperature: float = Field(default=0.7, gt=0, description="Of new inputs.")
    output_temperature: float = Field(default=0.2, ge=0, description="Of outputs.")
    max_new_tokens: int = Field(default=500, gt=0, description="Of each reply.")

    prompts: ClassVar[Sequence[str]] = ("self_guide_input", "self_guide_output")

    @property
    def makes_of_whole(self) -> bool:
        """No input is made twice."""
        return True

    def takes(self, example: Example) -> bool:
        """One question with its answer: no system prompt, no turns before."""
        roles = [message["role"] for message in example.messages[: example.response_at]]
        return roles == ["user"] and example.response_at is not None

    def rows_each(self) -> int:
        """None comes of one alone."""
        return 0

    def rows_at_most(self, sources: int) -> int:
        """A row for each input."""
        return self.epochs * self.inputs_each if sources else 0

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all examples together, if there are any."""
        return {WHOLE_POOL: make_by_self_guide(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Inputs, and outputs of those that pass."""
        inputs = self.epochs * self.inputs_each if sources else 0
        return {"generate": CallBounds(inputs, inputs * (1 + self.samples), self.max_new_tokens)}


@dataclass(slots=True)
class TaskInputs:
    """The examples' inputs, and those that were accepted."""

    trusted: Sequence[str]
    accepted: dict[int, str] = field(default_factory=dict)  # number of the prompt → input

    def fault(self, settings: SelfGuide, text: str) -> str:
        """Why an input is not accepted; "" where it is."""
        if text in self.trusted or text in self.accepted.values():
            return "duplicate"
        return fault_of_text(settings, "inputs", text, self.trusted)


def make_by_self_guide(settings: SelfGuide, sources: Sequence[Example], seed: int) -> Making:
    """Ask for inputs and their outputs, round by round; labels are balanced at the end."""
    parents = [source.example_id for source in sources]
    inputs = TaskInputs([source.prompt for source in sources])
    settled: list[Settled] = []
    labelled: list[tuple[str, Settled]] = []
    for epoch in range(settings.epochs):
        first = epoch * settings.inputs_each
        numbers = range(first, first + settings.inputs_each)
        asks = [ask_input(settings, inputs, seed, number) for number in numbers]
        replies = yield Wanted(asks, settled)
        fresh, settled = accept_inputs(settings, inputs, dict(zip(numbers, replies, strict=True)))
        settled = [replace(each, parents=parents) for each in settled]
        asks = [ask for n, text in fresh.items() for ask in ask_outputs(settings, sources, n, text)]
        outputs = iter((yield Wanted(asks, settled)))
        settled = []
        for number, text in fresh.items():
            had = [*islice(outputs, settings.samples)]
            output = choose_output(settings, sources, had)
            places = places_of(settings, number)
            if isinstance(output, Unread):
                settled.append(Settled(places, None, output.reason, parents))
                continue
            made = Settled(places, made_row(settings, sources, text, output), "output", parents)
            if settings.labels:
                labelled.append((output, made))
            else:
                settled.append(made)
    return [*settled, *level_labels(labelled, seed)]


def accept_inputs(
    settings: SelfGuide, inputs: TaskInputs, replies: Mapping[int, Sampled]
) -> tuple[dict[int, str], list[Settled]]:
    """The new inputs by the number of their prompt, and what became of the other replies."""
    fresh: dict[int, str] = {}
    settled: list[Settled] = []
    for number, reply in replies.items():
        read = read_whole(reply)
        text = "" if isinstance(read, Unread) else read.strip()
        fault = read.reason if isinstance(read, Unread) else inputs.fault(settings, text)
        if fault:
            settled.append(Settled([("input", number)], None, fault))
        else:
            inputs.accepted[number] = fresh[number] = text
    return fresh, settled


def ask_input(settings: SelfGuide, inputs: TaskInputs, seed: int, number: int) -> Ask:
    """A prompt for one new input."""

    def drawn(texts: Sequence[str], of: str) -> list[str]:
        return sorted(texts, key=lambda text: content_hash([seed, of, number, text]))

    count = 1 + int(content_hash([seed, "count", number]), 16) % SHOWN_MADE
    made = drawn([*inputs.accepted.values()], "made")[:count]
    wish = ""
    if settings.labels:
        label = drawn(settings.labels, "label")[0]
        wish = f', whose right answer is "{label}"'
    fields = {
        "instruction": settings.instruction,
        "trusted": itemise(drawn(inputs.trusted, "trusted")),
        "made": f"\nInputs that may have mistakes:\n{itemise(made)}\n" if made else "",
        "wish": wish,
    }
    messages = [{"role": "user", "content": fill_prompt("self_guide_input", fields)}]
    return Ask("input", number, messages, settings.input_temperature, settings.max_new_tokens)


def itemise(texts: Sequence[str]) -> str:
    """Texts as items of a list."""
    return "\n".join(f"- {text}" for text in texts)


def ask_outputs(
    settings: SelfGuide, sources: Sequence[Example], number: int, text: str
) -> list[Ask]:
    """The outputs of one input."""
    messages = task_prompt(settings, sources, text)
    return [
        Ask(
            f"output {number}",
            attempt,
            messages,
            settings.output_temperature,
            settings.max_new_tokens,
        )
        for attempt in range(settings.samples)
    ]


def places_of(settings: SelfGuide, number: int) -> list[CallPlace]:
    """The calls that an input and its outputs come of."""
    return [("input", number), *((f"output {number}", n) for n in range(settings.samples))]


def task_prompt(settings: SelfGuide, sources: Sequence[Example], text: str) -> list[Message]:
    """The instruction with an input, behind the examples as turns."""
    turns: list[Message] = []
    for source in sources:
        turns += [
            {"role": "user", "content": task_text(settings, source.prompt)},
            {"role": "assistant", "content": source.response},
        ]
    return [*turns, {"role": "user", "content": task_text(settings, text)}]


def task_text(settings: SelfGuide, text: str) -> str:
    """The instruction with an input."""
    return fill_prompt("self_guide_output", {"instruction": settings.instruction, "input": text})


def made_row(
    settings: SelfGuide, sources: Sequence[Example], text: str, output: str
) -> Conversation:
    """A row of the task."""
    shown = sources if settings.examples_in_prompt else []
    answer = {"role": "assistant", "content": output}
    return Conversation([*task_prompt(settings, shown, text), answer])


def choose_output(
    settings: SelfGuide, sources: Sequence[Example], replies: Sequence[Sampled]
) -> str | Unread:
    """The most frequent output of those that pass, or why there is none."""
    given = [source.response for source in sources]
    passed: list[str] = []
    fault = ""
    for reply in replies:
        read = read_output(settings, given, reply)
        if isinstance(read, Unread):
            fault = fault or read.reason
        else:
            passed.append(read)
    if not passed:
        return Unread(fault)
    counts = Counter(passed)
    best = min(counts, key=lambda text: (-counts[text], len(text), text))
    # 0.28 * 25 is 7.000000000000001, and 7 of 25 are enough.
    agreed = counts[best] >= ceil(round(settings.least_share * len(passed), 9))
    return best if agreed else Unread("no_agreement")


def read_output(settings: SelfGuide, given: Sequence[str], reply: Sampled) -> str | Unread:
    """An output that passes, or its label; why it does not."""
    read = read_whole(reply)
    if isinstance(read, Unread):
        return read
    if settings.labels:
        said = [label for label in settings.labels if says_same(read, label, "words")]
        # "not spam" has the words of "spam": a label within another one that was said is not meant.
        found = [each for each in said if not is_within_another(each, said)]
        return found[0] if len(found) == 1 else Unread("no_label")
    fault = fault_of_text(settings, "outputs", read.strip(), given)
    return Unread(fault) if fault else read.strip()


def is_within_another(label: str, said: Sequence[str]) -> bool:
    """Whether another label has all words of this one in a row."""
    return any(each != label and says_same(each, label, "words") for each in said)


def fault_of_text(
    settings: SelfGuide, kind: Literal["inputs", "outputs"], text: str, given: Sequence[str]
) -> str:
    """Why a text is none of a task; "" where it is."""
    if kind in settings.lengths:
        mean, spread = fmean(map(len, given)), pstdev(map(len, given))
        if not floor(mean - 2 * spread) <= len(text) <= ceil(mean + 2 * spread):
            return "odd_length"
    folded = text.casefold()
    if any(each.casefold() in folded for each in settings.noise):
        return "noise"
    if refuses(text):
        return "refusal"
    return "repeats_prompt" if repeats_shown(text, fixed_text("self_guide_input")) else ""


def level_labels(labelled: Sequence[tuple[str, Settled]], seed: int) -> list[Settled]:
    """Equally many rows of each label that occurs, by a seeded hash; the others are dropped."""
    groups: dict[str, list[Settled]] = defaultdict(list)
    for label, each in labelled:
        groups[label].append(each)
    fewest = min(map(len, groups.values()), default=0)
    settled: list[Settled] = []
    for _, group in sorted(groups.items()):
        group.sort(key=lambda each: content_hash([seed, "balance", each.replies[0][1]]))
        settled += group[:fewest]
        settled += [Settled(e.replies, None, "over_label", e.parents) for e in group[fewest:]]
    return settled
