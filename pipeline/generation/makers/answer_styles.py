r"""Answer styles: a part of the short answers is turned into choices, yes or no, and explanations.

    rows in style s = parts of n by largest remainder:  1 - share as they are,  share / 4 each of
                      multiple_choice, yes_no, brief, detailed

Which rows those are follows from a seeded hash. For a choice the model writes three wrong options,
for yes or no one; the right one stands at A, B, C and D in turn, and yes and no are right in turn,
over the rows that were made. Brief and detailed replies, of about 20 and 50 words, are written by
the model, which is told the answer; one that has not all words of it in a row, or less than half or
more than twice the length, goes. So do options that are the answer or one another by their words,
and what repeats the prompt. Where a style fails the row stays as it was. The rows stand for their
sources: as many come out as went in.

Answer style diversification of SEFE: Chen et al. 2025, arXiv:2505.02486, whose task is questions on
images and whose numbers, share 0.2 and 20 and 50 words, are from a summary of it: that of the
others is not checked. A model tuned on one form of answer gives that form everywhere; so its other
forms are kept in use. Here every row is text, and the form that rows have is the short answer.

For tuning on a task of short answers, by a model that can write wrong ones which are not right by
chance: none of them is verified. Not for responses that reason, which are not taken. It costs 1
call for each row that is turned into something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from pipeline.generation.instruction_lists import list_items
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
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock
from pipeline.generation.short_answers import same_words, says_same
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fill_prompt, fixed_text
from pipeline.measuring.measures.samples import Sampled
from pipeline.selection.apportion import largest_remainders
from scorers.words import split_words
from storage.conversations import Conversation, content_hash
from storage.examples import Example

Style: TypeAlias = Literal["multiple_choice", "yes_no", "brief", "detailed"]

STYLES: Sequence[Style] = ("multiple_choice", "yes_no", "brief", "detailed")

WORDS: Mapping[Style, int] = {"brief": 20, "detailed": 50}

WRONG_OPTIONS: Mapping[Style, int] = {"multiple_choice": 3, "yes_no": 1}

LETTERS = "ABCD"


class AnswerStyles(MakerBlock):
    """Short answers in other styles: SEFE (arXiv:2505.02486)."""

    method: Literal["answer_styles"]
    share: float = Field(default=0.2, gt=0, le=1, description="Rows that get another style.")
    longest_answer: int = Field(
        default=10, gt=0, description="Words of a response that is a short answer, at most."
    )
    temperature: float = Field(default=0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=128, gt=0, description="A longer reply is dropped.")

    prompts: ClassVar[Sequence[str]] = (
        "answer_styles_options",
        "answer_styles_explanation",
        "answer_styles_as_choice",
        "answer_styles_as_yes_no",
        "answer_styles_as_explanation",
    )
    takes_over: ClassVar[bool] = True

    @property
    def makes_of_whole(self) -> bool:
        """Which rows get which style depends on how many there are."""
        return True

    def takes(self, example: Example) -> bool:
        """One question with a short answer: no system prompt, no turns before."""
        roles = [message["role"] for message in example.messages[: example.response_at]]
        words = len(split_words(example.response))
        return roles == ["user"] and 0 < words <= self.longest_answer

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""
        return {WHOLE_POOL: make_by_answer_styles(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """One for each row that gets another style."""
        calls = sum(deal_out(self, sources)[style] for style in STYLES)
        return {"generate": CallBounds(calls, calls, self.max_new_tokens)}


@dataclass(frozen=True, slots=True)
class Restyled:
    """A row that is to get a style, and what the model wrote for it."""

    source: Example
    style: Style
    written: Sequence[str]
    """The wrong options, or the explanation alone."""

    @property
    def settled_by(self) -> tuple[str, int]:
        """The call."""
        return f"{self.style} {self.source.example_id}", 0


def deal_out(settings: AnswerStyles, sources: int) -> dict[str, int]:
    """Style → how many rows get it; "" is the style that they have."""
    share = Fraction(str(settings.share))  # 0.2 is a fifth
    weights = {"": 1 - share} | {style: share / len(STYLES) for style in STYLES}
    return largest_remainders(weights, sources)


def make_by_answer_styles(settings: AnswerStyles, sources: Sequence[Example], seed: int) -> Making:
    """Deal the styles out, ask for what they need, and write the rows."""
    ordered = sorted(sources, key=lambda source: content_hash([seed, "style", source.example_id]))
    parts = deal_out(settings, len(ordered))
    dealt = [style for style in STYLES for _ in range(parts[style])]
    turned = list(zip(ordered, dealt, strict=False))
    replies = yield Wanted([ask_for(settings, source, style) for source, style in turned])
    settled = [
        Settled((), source.conversation, "native", [source.example_id])
        for source in ordered[len(turned) :]
    ]
    made: dict[Style, list[Restyled]] = {style: [] for style in STYLES}
    for (source, style), reply in zip(turned, replies, strict=True):
        read = read_for(source, style, reply)
        one = Restyled(source, style, [] if isinstance(read, Unread) else read)
        if isinstance(read, Unread):
            parents = [source.example_id]
            settled.append(Settled([one.settled_by], None, read.reason, parents))
            settled.append(Settled((), source.conversation, "native", parents))
        else:
            made[style].append(one)
    for style, ones in made.items():
        settled += [
            Settled([one.settled_by], restyled_row(one, turn), style, [one.source.example_id])
            for turn, one in enumerate(ones)
        ]
    return settled


def ask_for(settings: AnswerStyles, source: Example, style: Style) -> Ask:
    """What a style needs of the model."""
    fields = {"prompt": source.prompt, "answer": source.response}
    if style in WORDS:
        text = fill_prompt("answer_styles_explanation", fields | {"words": str(WORDS[style])})
    else:
        text = fill_prompt("answer_styles_options", fields | {"count": str(WRONG_OPTIONS[style])})
    messages = [{"role": "user", "content": text}]
    stage = f"{style} {source.example_id}"
    return Ask(stage, 0, messages, settings.temperature, settings.max_new_tokens)


def read_for(source: Example, style: Style, reply: Sampled) -> Sequence[str] | Unread:
    """The wrong options, or the explanation; why they are none."""
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    if style in WORDS:
        fault = fault_of_explanation(source, text, WORDS[style])
        return Unread(fault) if fault else [text.strip()]
    options = list_items(text)[: WRONG_OPTIONS[style]]
    if len(options) < WRONG_OPTIONS[style]:
        return Unread("no_list")
    keys = {same_words(option) for option in (*options, source.response)}
    if len(keys) <= len(options) or "" in keys:
        return Unread("not_distinct")
    if repeats_shown("\n".join(options), fixed_text("answer_styles_options")):
        return Unread("repeats_prompt")
    return options


def fault_of_explanation(source: Example, text: str, words: int) -> str:
    """Why an explanation is no row; "" where it is."""
    if not says_same(text, source.response, "words"):
        return "without_the_answer"
    count = len(split_words(text))
    if not words <= 2 * count <= 4 * words:
        return "too_short" if count < words else "too_long"
    shown = fixed_text("answer_styles_explanation")
    return "repeats_prompt" if repeats_shown(text, shown) else ""


def restyled_row(one: Restyled, turn: int) -> Conversation:
    """A row in its style; `turn` counts those of the style, and says where the right one stands."""
    prompt, answer = one.source.prompt, one.source.response.strip()
    if one.style in WORDS:
        fields = {"prompt": prompt, "words": str(WORDS[one.style])}
        asked = fill_prompt("answer_styles_as_explanation", fields)
        return one_exchange(asked, one.written[0], one.source.tools)
    if one.style == "yes_no":
        told = answer if turn % 2 == 0 else one.written[0]
        asked = fill_prompt("answer_styles_as_yes_no", {"prompt": prompt, "answer": told})
        return one_exchange(asked, "no" if turn % 2 else "yes", one.source.tools)
    place = turn % len(LETTERS)
    options = [*one.written[:place], answer, *one.written[place:]]
    listed = "\n".join(f"{letter}. {each}" for letter, each in zip(LETTERS, options, strict=True))
    asked = fill_prompt("answer_styles_as_choice", {"prompt": prompt, "options": listed})
    return one_exchange(asked, LETTERS[place], one.source.tools)
