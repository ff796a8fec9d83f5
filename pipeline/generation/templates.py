"""The prompts of makers: text files beside them, whose text is a part of what is stored."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from string import Template

from scorers.measures.protocols import Message

PROMPTS = Path(__file__).parent / "makers" / "prompts"
"""Where they lie, one file each."""

FIELD = re.compile(r"\$\w+")

TURN = re.compile(r"^\[(user|assistant)\]\n", re.MULTILINE)
"""A line that begins a turn."""


@lru_cache
def read_prompt_text(name: str) -> str:
    """The text of a prompt; `$name` marks what is filled in."""
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()


def fill_prompt(name: str, fields: Mapping[str, str]) -> str:
    """A prompt with what is filled in, which is never read for marks itself.

    Raises:
        KeyError: if the prompt marks a field that is not given.
    """
    return Template(read_prompt_text(name)).substitute(fields)


def fill_turns(name: str, fields: Mapping[str, str]) -> list[Message]:
    """A prompt of several turns with what is filled in: examples, as if they had been answered.

    Raises:
        KeyError: if the prompt marks a field that is not given.
    """
    _, *parts = TURN.split(read_prompt_text(name))
    return [
        {"role": role, "content": Template(text.strip()).substitute(fields)}
        for role, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def fixed_text(name: str) -> list[str]:
    """What of a prompt is the same whatever is filled in, in pieces."""
    return FIELD.split(TURN.sub("", read_prompt_text(name)))


def prompt_texts(names: Sequence[str]) -> dict[str, str]:
    """Name → text of prompts: for the key of what is made with them."""
    return {name: read_prompt_text(name) for name in names}
