r"""Task cards: narrow tasks with a stated form, and rows of each out of the passages of documents.

    card = name, instructions, what an input is, what an output is
    row  = instruction, input -> output       output: one of `labels`, an object of `fields`, a text

What a card says is all that may stand in its rows: an output that is none of its labels, or lacks a
field, makes no row. By `input` the passage itself is the input and the model writes the output, or
it makes up both out of the passage. Where a label is wanted for a made-up input, the label is drawn
first, by a seeded hash, and the input is asked for it: so labels come about as often as each other.
An input that says its label, speaks of a passage, declines or has no content goes. The instruction
is one of the card's, by a seeded hash; with one it is the same in all rows. The reason of a reply
begins with its card, so what was kept of each card can be counted.

Task-Fine-Tune: AnyTaskTune, Cui et al. 2024, arXiv:2407.07094, of which the abstract and a summary
were read. There people who know the field name the tasks and cut complex ones into parts; here they
write the cards. Its repository has no code of the method.

For an organisation with documents and a handful of tasks that come again: triage, keywords, forms.
Not for tasks that nobody can state, nor as the only rows where the model shall talk as well. That
an output is right is checked by `verify` alone; look at rows of each card, and compare models by
card. It costs 1 call a row.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    draw_option,
    one_exchange,
    side_by_side,
)
from pipeline.generation.maker_block import CallBounds, PassageMakerBlock
from pipeline.generation.templates import fill_prompt, named_lines, passage_fields
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import ground_question, verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.written_text import fault_of_wording, has_no_content
from pipeline.measuring.measures.samples import Sampled
from pipeline.settings import OneLine, Settings
from scorers.measures.protocols import JsonForm
from scorers.words import split_words, stand_in_a_row
from storage.documents import SourcePassage

PROMPT, WISHES = "task_cards", "task_cards_wishes"

TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}


class TaskCard(Settings):
    """A narrow task: what it is given, and what it gives."""

    name: OneLine = Field(description="Of the task, in the reasons of its replies.")
    instructions: tuple[OneLine, ...] = Field(
        min_length=1, description="What a row asks for; of several one, by a seeded hash."
    )
    input: Literal["written", "passage"] = Field(
        default="written",
        description="written: the model makes up an input out of the passage; passage: it is that.",
    )
    input_is: OneLine = Field(
        default="a short text", description="What an input is, for the model that makes it up."
    )
    output_is: OneLine = Field(
        default="a short text",
        description="What an output is, where neither labels nor fields say.",
    )
    labels: tuple[OneLine, ...] = Field(
        default=(), description="The outputs that there are, for a task that sorts."
    )
    fields: Mapping[str, OneLine] = Field(
        default={}, description="Fields of an output that is a JSON object, each with what it is."
    )
    rows_each: int = Field(default=1, gt=0, description="Rows of each passage.")

    @model_validator(mode="after")
    def says_one_thing(self) -> Self:
        """Check that there is one kind of output, and that a passage is one input."""
        if self.labels and self.fields:
            raise ValueError(f"card {self.name}: give labels or fields; an output is one of both")
        if len({*self.labels}) == 1 or len({*self.labels}) < len(self.labels):
            raise ValueError(f"card {self.name}: labels are two or more, each once")
        if self.input == "passage" and self.rows_each > 1:
            raise ValueError(
                f"card {self.name}: a passage is one input, so it gives one row: set rows_each: 1"
            )
        return self

    @property
    def wish(self) -> Literal["input", "both", "output"]:
        """What the model writes of a row."""
        if self.input == "passage":
            return "output"
        return "input" if self.labels else "both"

    @property
    def output_told(self) -> str:
        """What an output is, in words."""
        if self.labels:
            return f"one of: {', '.join(self.labels)}"
        told = "; ".join(f'"{name}": {what}' for name, what in self.fields.items())
        return f"an object with {told}" if self.fields else self.output_is

    @property
    def form(self) -> JsonForm:
        """The form of a reply."""
        output: Mapping[str, Any] = TEXT
        if self.labels:
            output = {"type": "string", "enum": [*self.labels]}
        if self.fields:
            output = form_of(dict.fromkeys(self.fields, TEXT)).schema
        parts = {"input": TEXT, "output": output}
        return form_of({self.wish: parts[self.wish]} if self.wish in parts else parts)

    def written(self, output: object) -> str:
        """An output as it stands in a row: an object with its fields in the card's order."""
        if isinstance(output, dict):
            return json.dumps({name: output[name] for name in self.fields}, ensure_ascii=False)
        return str(output).strip()


class TaskCards(VerifiedBlock, PassageMakerBlock):
    """Rows of narrow tasks that cards state: AnyTaskTune (arXiv:2407.07094)."""

    method: Literal["task_cards"]
    cards: tuple[TaskCard, ...] = Field(min_length=1, description="The tasks.")
    temperature: float = Field(default=0.7, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="Of each reply.")
    verify: tuple[Verifier, ...] = Field(
        default=(), description="What an output must be, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (PROMPT, WISHES)

    @model_validator(mode="after")
    def cards_differ(self) -> Self:
        """Check that cards can be told apart, and that samples can differ."""
        names = [card.name for card in self.cards]
        if len({*names}) < len(names):
            raise ValueError(f"two cards have one name: {', '.join(sorted(names))}")
        if self.temperature == 0 and any(card.rows_each > 1 for card in self.cards):
            raise ValueError(
                "at temperature 0 all rows of a passage are the same: set rows_each: 1, or a "
                "temperature above 0"
            )
        return self

    def takes(self, passage: SourcePassage) -> bool:
        """Passages that say something."""
        return not has_no_content(passage.text)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return sum(card.rows_each for card in self.cards)

    def makings(self, passages: Sequence[SourcePassage], seed: int) -> Mapping[str, Making]:
        """One for each passage."""
        return {each.passage_id: make_by_task_cards(self, each, seed) for each in passages}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A call for each row, and what the verifiers ask."""
        calls = sources * self.rows_each()
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(calls, calls, self.max_new_tokens)
        }
        return self.with_verifying(own, calls)


def make_by_task_cards(settings: TaskCards, passage: SourcePassage, seed: int) -> Making:
    """Ask for all rows of all cards at once."""
    works = [
        make_record(settings, card, passage, [seed, passage.passage_id, card.name, number])
        for card in settings.cards
        for number in range(card.rows_each)
    ]
    return (yield from side_by_side(works))


def make_record(
    settings: TaskCards, card: TaskCard, passage: SourcePassage, lot: Sequence[object]
) -> Generator[Wanted, Sequence[Sampled], Settled]:
    """One row of a card, or why there is none.

    Args:
        settings: of the maker.
        card: the task.
        passage: what it is made of.
        lot: what is drawn by; the number of the row is the last.
    """
    task = draw_option(card.instructions, [*lot, "instruction"])
    label = draw_option(card.labels, [*lot, "label"]) if card.wish == "input" else ""
    messages = [{"role": "user", "content": word_card(card, passage, task, label)}]
    number = int(str(lot[-1]))
    ask = Ask(
        f"card {card.name}",
        number,
        messages,
        settings.temperature,
        settings.max_new_tokens,
        form=card.form,
    )
    (reply,) = yield Wanted([ask])
    read = read_json_object(reply, card.form)
    if isinstance(read, Unread):
        return Settled([ask.place], None, f"{card.name}: {read.reason}")
    given = str(read.get("input", passage.text)).strip()
    output = card.written(read.get("output", label))
    if fault := fault_of_record(card, given, output):
        return Settled([ask.place], None, f"{card.name}: {fault}")
    row = one_exchange(f"{task}\n\n{given}", output)
    source = ground_question(f"{task}\n\n{given}", passage.text)
    told = (yield from verify_all(settings.verify, source, {ask.place: output}))[ask.place]
    reason = f"{card.name}: {told.fault or 'row'}"
    return Settled([ask.place, *told.asked], None if told.fault else row, reason)


def word_card(card: TaskCard, passage: SourcePassage, task: str, label: str) -> str:
    """What is asked for a row of a card."""
    fields = {"input_is": card.input_is, "output_is": card.output_told, "output": label}
    wish = named_lines(fill_prompt(WISHES, fields))[card.wish]
    return fill_prompt(PROMPT, {**passage_fields(passage), "task": task, "wish": wish})


def fault_of_record(card: TaskCard, given: str, output: str) -> str:
    """Why an input and its output are no row; "" where they are one."""
    if card.input == "written" and (fault := fault_of_wording(given, (PROMPT, WISHES))):
        return fault
    if card.wish == "input" and stand_in_a_row(split_words(output), split_words(given)):
        return "says_label"
    if card.labels:
        return ""
    return fault_of_wording(output, (PROMPT, WISHES), alone=False)
