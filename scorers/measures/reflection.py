"""Ask a model whether a given answer is right, in two wordings, as multiple choice.

The published wording (BSDetector, arXiv:2308.16175) is not known to us; these are ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scorers.arrays import Floats
from scorers.measures.protocols import GenerationFailure, Message, OptionModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LETTERS = ("A", "B", "C")
ANSWERS = ("correct", "incorrect", "not sure")
"""What a reflection gives the probabilities of, in this order."""

OPENING_TOKENS = 32
"""Left free for what a template writes before an answer, such as Qwen3's empty thought."""


@dataclass(frozen=True, slots=True)
class _Wording:
    text: str
    order: tuple[int, int, int]
    """Which of ANSWERS stands at A, B and C. It differs between the wordings, since models lean
    to a letter."""


WORDINGS = (
    _Wording(
        "Request:\n{prompt}\n\nProposed answer:\n{answer}\n\n"
        "Is the proposed answer correct?\n"
        "A. It is correct.\nB. It is incorrect.\nC. I am not sure.\n"
        "Reply with one letter only.",
        order=(0, 1, 2),
    ),
    _Wording(
        "Somebody was asked this:\n{prompt}\n\nand replied:\n{answer}\n\n"
        "Check the reply as a careful expert would. What do you find?\n"
        "A. The reply is wrong.\nB. The reply is right.\nC. It cannot be told.\n"
        "Reply with one letter only.",
        order=(1, 0, 2),
    ),
)


@dataclass(frozen=True, slots=True)
class Reflections:
    """What a model thinks of n targets."""

    probabilities: Floats  # (n, 2, 3) of ANSWERS, for each wording
    mass: Floats  # (n, 2) what the options had together
    failures: Mapping[int, GenerationFailure]
    """Target → why one of its questions got no reply, where the model said why."""


def reflection_questions(prompt: Sequence[Message], target: str) -> list[Sequence[Message]]:
    """The questions about one target, one for each wording."""
    return [_question(prompt, target, wording) for wording in WORDINGS]


def ask_reflector(
    pairs: Sequence[tuple[Sequence[Message], str]], reflector: OptionModel
) -> Reflections:
    """Ask about each target, in one call for each wording.

    Args:
        pairs: n prompts with their targets.
        reflector: the model asked.
    """
    probabilities = np.empty((len(pairs), len(WORDINGS), len(ANSWERS)))
    mass = np.empty((len(pairs), len(WORDINGS)))
    failures: dict[int, GenerationFailure] = {}
    for at, wording in enumerate(WORDINGS):
        prompts = [_question(prompt, target, wording) for prompt, target in pairs]
        answer = reflector.option_probabilities(prompts, LETTERS)
        probabilities[:, at, wording.order] = answer.probabilities  # by letter → by ANSWERS
        mass[:, at] = answer.mass
        failures |= answer.failures  # of both wordings, one reason will do
    return Reflections(probabilities, mass, failures)


def fits_window(
    tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> Callable[[Sequence[Message]], bool]:
    """A check whether a model in process can read a question; for `fits` of `judge_answers`.

    Args:
        tokenizer: of the model, with a chat template.
        max_tokens: its window.
    """
    from scorers.measures.reading.chat_format import render_prompt

    return lambda question: (
        len(render_prompt(tokenizer, question, ())) + OPENING_TOKENS <= max_tokens
    )


def transcript(messages: Sequence[Message]) -> str:
    """The prompt as text: a lone user turn as it is, anything longer with the roles named."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return str(messages[0]["content"])
    return "\n\n".join(f"[{message['role']}]\n{_readable(message)}" for message in messages)


def ask_user(template: str, texts: Mapping[str, str]) -> Sequence[Message]:
    """A question with texts in place of their names in braces, as a user's turn."""
    # In one pass: a name in braces that stands in a text is part of that text.
    names = re.compile(rf"\{{({'|'.join(texts)})\}}")
    return [{"role": "user", "content": names.sub(lambda found: texts[found[1]], template)}]


def _question(prompt: Sequence[Message], target: str, wording: _Wording) -> Sequence[Message]:
    return ask_user(wording.text, {"prompt": transcript(prompt), "answer": target})


def _readable(message: Message) -> str:
    calls = [
        json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())
    ]
    return "\n".join(part for part in [message["content"], *calls] if part)
