"""Prompts as text that a model goes on from, behind examples of answers: URIAL.

    preface, # Query: x_1, # Answer: y_1, …, # Query: the prompt, # Answer:

Each text stands in a fence. An answer ends where its fence does, or with the next heading of a
query: a model that was tuned on no turns ends by itself only where its length does. So one without
a chat template answers as a tuned one would, by the examples alone (Lin et al. 2023, URIAL,
arXiv:2312.01552). The examples are a text file, `urial` the one beside this module. URIAL's own
fence has three backticks, with which code in an answer ends it; here it has four.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from pipeline.generation.maker import Making, Settled, Wanted
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import TURN
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure, Message, RawText
from storage.examples import Example

URIAL = "urial"
"""The name of the examples that are here."""

EXAMPLES = Path(__file__).parent / "examples"

FENCE = "````"

HEADINGS: Mapping[str, str] = {"user": "# Query:", "assistant": "# Answer:"}

STOPS = (FENCE, f"\n{HEADINGS['user']}")


class ExamplesError(ValueError):
    """A file of examples is not there, or is not written as one."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class FewShot:
    """What stands before every prompt."""

    preface: str
    turns: Sequence[Message]

    @property
    def texts(self) -> list[str]:
        """What no answer may repeat."""
        return [self.preface, *(str(turn["content"]) for turn in self.turns)]

    def ask(self, messages: Sequence[Message]) -> RawText:
        """A prompt behind the examples; a system prompt is part of the preface."""
        system = [str(turn["content"]) for turn in messages if turn["role"] == "system"]
        spoken = [turn for turn in messages if turn["role"] != "system"]
        parts = [self.preface, *system, *map(write_turn, [*self.turns, *spoken])]
        parts.append(f"{HEADINGS['assistant']}\n{FENCE}\n")
        return RawText("\n\n".join(parts), STOPS)


def write_turn(turn: Message) -> str:
    """A turn under its heading; what would end it, or begin another, is written otherwise."""
    text = str(turn["content"])
    while FENCE in text:
        text = text.replace(FENCE, FENCE[:-1])
    lines = text.split("\n")
    headings = tuple(HEADINGS.values())
    text = "\n".join(f"\\{line}" if line.startswith(headings) else line for line in lines)
    return f"{HEADINGS[turn['role']]}\n{FENCE}\n{text}\n{FENCE}"


def place_examples(named: str, base: Path) -> str:
    """The name of examples, or where their file is, which a recipe says as seen from itself."""
    return named if named == URIAL else os.path.abspath(base / named)


@lru_cache
def read_examples_file(named: str) -> FewShot:
    """Read examples: what stands in front, then turns under `[user]` and `[assistant]`.

    Raises:
        ExamplesError: if there is no such file, or it does not end with an answer.
    """
    path = EXAMPLES / f"{URIAL}.txt" if named == URIAL else Path(named)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExamplesError(
            f"{path} cannot be read ({error}): few_shot takes `{URIAL}`, or a text file"
        ) from error
    preface, *parts = TURN.split(text)
    turns = [
        {"role": role, "content": said.strip()}
        for role, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    roles = [turn["role"] for turn in turns]
    if not turns or roles != ["user", "assistant"] * (len(turns) // 2):
        raise ExamplesError(
            f"{path}: expected questions and answers in turn, each below a line `[user]` or "
            f"`[assistant]`, got {', '.join(roles) or 'no such line'}"
        )
    return FewShot(preface.strip(), turns)


def is_text_alone(example: Example) -> bool:
    """Whether a row has nothing but text: a prompt that goes on has no place for tools."""
    plain = {"system", *HEADINGS}
    turns = example.messages
    return not example.tools and all(
        turn["role"] in plain and not turn.get("tool_calls") for turn in turns
    )


def without_repeats(making: Making, shown: Sequence[str]) -> Making:
    """A maker that is told of a reply that repeats examples that there was none."""
    wanted: Wanted = next(making)
    while True:
        had = yield wanted
        replies = [drop_repeat(reply, shown) for reply in had]
        try:
            wanted = making.send(replies)
        except StopIteration as ended:
            settled: Sequence[Settled] = ended.value
            return settled


def drop_repeat(reply: Sampled, shown: Sequence[str]) -> Sampled:
    """The reply, or why it goes."""
    if isinstance(reply, GeneratedAnswer) and repeats_shown(reply.text, shown):
        return GenerationFailure("repeats_examples", "it says what the examples before it say")
    return reply
