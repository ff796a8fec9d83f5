r"""Distilling step-by-step: a label and the reasons for it, as two tasks on one input.

    predict: x -> y                explain: x -> r                 (r, y') ~ M(examples, x)

M is asked once, with two worked examples before the question, and what it writes is cut at the
words that announce an answer ("so the answer is", "the answer is", "answer:"): r is what stands
before the first of them, y' behind the last. y is the given response, and y' where there is none or
with `label: model`. A blank r, and one that repeats the examples, makes no row; the label stays. So
each source has one row of each kind at most, which stand for it. The prefixes stand before its last
message, and answers are asked for with the first of them: with `predict_prefix: ""` just as ever.

Hsieh et al. 2023, arXiv:2305.02301. Its loss is that of the labels plus lambda times that of the
rationales, lambda = 1, each the mean over its own tokens. In one export every token counts the
same, so that long rationales outweigh short labels: `balance` of a training tells tasks by source,
and both kinds of row have one. The authors write examples for each data set; here they are two of
our own for all. They keep a rationale whatever it comes to; `keep: right` keeps it if y' and y are
the same final answer.

For a small model that is to learn a task of short answers from a larger one that can say why.
Not where the answer is the reasoning: rejection keeps derivations that end on the trusted answer. A
wrong rationale for a right label passes, but for `keep: right`. It costs 1 call for each row.
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    last_prompt_text,
    read_whole,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fill_turns, fixed_text
from pipeline.measuring.measures.samples import Sampled
from pipeline.selection.methods.correct_answer import CURRENCIES
from pipeline.text.final_answer import final_answer, same_answer
from scorers.measures.protocols import Message
from storage.conversations import Conversation
from storage.examples import Example
from storage.visible import is_blank

PROMPT = "step_by_step_rationale"

CUE = re.compile(r"\b(?:so )?(?:the )?(?:final )?answer(?: is\b:?|\s*:)", re.IGNORECASE)
"""What announces an answer."""


class StepByStep(MakerBlock):
    """Labels, and reasons for them: Distilling step-by-step (arXiv:2305.02301)."""

    method: Literal["step_by_step"]
    label: Literal["given", "model"] = Field(
        default="given", description="Whose label is trained; the model's where none is given."
    )
    keep: Literal["all", "right"] = Field(
        default="all", description="Which rationales: all, or those that end on the given answer."
    )
    predict_prefix: str = Field(
        default="predict: ", description="Before the prompt that the label answers."
    )
    explain_prefix: str = Field(
        default="explain: ", description="Before the prompt that the rationale answers."
    )
    temperature: float = Field(default=0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="A longer reply is dropped.")

    prompts: ClassVar[Sequence[str]] = (PROMPT,)
    takes_over: ClassVar[bool] = True

    @model_validator(mode="after")
    def two_tasks(self) -> Self:
        """Check that the two tasks can be told apart."""
        if self.predict_prefix == self.explain_prefix:
            raise ValueError(
                f"both prefixes are {self.predict_prefix!r}: the model could not tell whether it "
                "is asked for the label or the rationale; change one of them"
            )
        return self

    def takes(self, example: Example) -> bool:
        """One question to the assistant, after a system prompt at most, answered or not."""
        roles = [message["role"] for message in example.messages[: example.response_at]]
        return roles in (["user"], ["system", "user"])

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 2

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_step_by_step(self, source) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """One call for each."""
        return {"generate": CallBounds(sources, sources, self.max_new_tokens)}


def make_by_step_by_step(settings: StepByStep, source: Example) -> Making:
    """Ask for reasons and an answer, and make a row of each."""
    *before, _ = source.conversation.prompt
    messages = [*before, *fill_turns(PROMPT, {"prompt": last_prompt_text(source)})]
    ask = Ask("rationale", 0, messages, settings.temperature, settings.max_new_tokens)
    (reply,) = yield Wanted([ask])
    read = read_rationale(reply)
    given = None if settings.label == "model" else source.conversation.response
    settled: list[Settled] = []
    if given is not None:
        row = prefixed_row(source, settings.predict_prefix, given)
        settled.append(Settled((), row, "given"))
    elif not isinstance(read, Unread):
        label = {"role": "assistant", "content": read[1]}
        row = prefixed_row(source, settings.predict_prefix, label)
        settled.append(Settled([ask.place], row, "label"))
    fault = fault_of_rationale(settings, source, read)
    if fault or isinstance(read, Unread):
        return [*settled, Settled([ask.place], None, fault)]
    row = prefixed_row(source, settings.explain_prefix, {"role": "assistant", "content": read[0]})
    return [*settled, Settled([ask.place], row, "rationale")]


def read_rationale(reply: Sampled) -> tuple[str, str] | Unread:
    """What stands before the first words that announce an answer, and behind the last of them."""
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    cues = [*CUE.finditer(text)]
    label = final_answer(text, cues[-1][0]) if cues else None
    if label is None or is_blank(label):
        return Unread("no_answer")
    return text[: cues[0].start()].strip(), label


def fault_of_rationale(
    settings: StepByStep, source: Example, read: tuple[str, str] | Unread
) -> str:
    """Why a rationale makes no row; "" where it does."""
    if isinstance(read, Unread):
        return read.reason
    rationale, label = read
    if is_blank(rationale):
        return "no_rationale"
    if repeats_shown(rationale, fixed_text(PROMPT)):
        return "repeats_prompt"
    if settings.keep == "all" or source.response_at is None:
        return ""
    given = final_answer(source.response) or source.response
    return "" if same_answer(label, given, CURRENCIES) else "wrong_answer"


def prefixed_row(source: Example, prefix: str, answer: Message) -> Conversation:
    """The prompt of a source with a prefix, and an answer."""
    *before, last = source.conversation.prompt
    asked = {**last, "content": f"{prefix}{last['content']}"}
    return Conversation([*before, asked, answer], source.tools)
