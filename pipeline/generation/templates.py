"""The prompts of makers: text files beside them, whose text is a part of what is stored."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from string import Template

from pipeline.generation.placeholders import PLACEHOLDERS, fault_of_marks
from scorers.measures.protocols import Message
from storage.documents import SourcePassage

PROMPTS = Path(__file__).parent / "makers" / "prompts"
"""Where they lie, one file each."""

FIELD = re.compile(r"\$\w+")

TURN = re.compile(r"^\[(user|assistant)\]\n", re.MULTILINE)
"""A line that begins a turn."""


@lru_cache
def read_prompt_text(name: str) -> str:
    """The text of a prompt; `$name` marks what is filled in."""
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").strip()


def marks_of(name: str) -> set[str]:
    """What a prompt marks to be filled in."""
    return {mark.removeprefix("$") for mark in FIELD.findall(read_prompt_text(name))}


def prompt_fault(name: str) -> str:
    """What is wrong with a prompt, so that nothing may be asked with it; "" where nothing is."""
    return fault_of_marks(name, marks_of(name))


def check_fields(name: str, fields: Mapping[str, str]) -> None:
    """See that a prompt has a place for all that is filled in, and for nothing else.

    Raises:
        ValueError: if it has not.
    """
    if fault := prompt_fault(name):
        raise ValueError(fault)
    if fields.keys() != PLACEHOLDERS[name]:
        raise ValueError(
            f"{name} is filled with {sorted(fields)}, not {sorted(PLACEHOLDERS[name])}"
        )


def named_lines(text: str) -> dict[str, str]:
    """Name → what stands behind it, of a text whose lines are `name: what`."""
    return dict(line.split(": ", 1) for line in text.splitlines())


def passage_fields(passage: SourcePassage) -> dict[str, str]:
    """What a prompt shows of a passage: its text, and the headings that it stands under."""
    heading = f" ({' > '.join(passage.headings)})" if passage.headings else ""
    return {"passage": passage.text.strip(), "heading": heading}


def fill_prompt(name: str, fields: Mapping[str, str]) -> str:
    """A prompt with what is filled in, which is never read for marks itself.

    Raises:
        ValueError: if the prompt has other marks than are filled in.
    """
    check_fields(name, fields)
    return Template(read_prompt_text(name)).substitute(fields)


def fill_turns(name: str, fields: Mapping[str, str]) -> list[Message]:
    """A prompt of several turns with what is filled in: examples, as if they had been answered.

    Raises:
        ValueError: if the prompt has other marks than are filled in.
    """
    check_fields(name, fields)
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
