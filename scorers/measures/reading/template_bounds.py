"""What a chat template has taken so far, and how much it may: steps, characters, sizes.

A template is counted and not timed, so that a row fails on any machine or on none. A single step is
short, so that a signal is heard between two.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any

from jinja2 import TemplateRuntimeError

MOST_STEPS = 4_000_000
"""Passes of loops, and calls: seconds. Gemma 4's template takes a sixth of it for 1000 turns."""

MOST_WORK = 1 << 30
"""Characters and elements that are made, copied or compared in all."""

LARGEST = 1 << 25
"""Characters, or elements, of one value, and characters that are written: twice the largest row."""

MOST_BITS = 1 << 17  # of a whole number

LARGEST_TEMPLATE = 1 << 20  # characters; the longest that are in use have 20 thousand

ELEMENTS_A_STEP = 4  # what is not text is gone through more slowly

WIDE = re.compile(r"\d{5}|\*")
"""In a format: a width or precision of 10,000 and more, or one that is an argument."""


class BeyondBoundsError(TemplateRuntimeError):
    """A template does more than any chat template needs to."""


class Spent:
    """What the rendering of one conversation has taken so far."""

    __slots__ = ("steps", "work", "written")

    def __init__(self) -> None:
        """Nothing yet."""
        self.steps = self.work = self.written = 0


class _Running(threading.local):
    """What is being rendered in this thread."""

    spent: Spent | None = None


_running = _Running()


def refuse(what: str) -> None:
    """Raise BeyondBoundsError."""
    raise BeyondBoundsError(f"it goes beyond the bounds of a template: {what}")


def take(steps: int, work: int = 0) -> None:
    """Count steps, and characters or elements that are made or looked at."""
    spent = _running.spent
    if spent is None:  # while a template is compiled
        return
    spent.steps += steps
    spent.work += work
    if spent.steps > MOST_STEPS:
        refuse(f"more than {MOST_STEPS:,} steps")
    if spent.work > MOST_WORK:
        refuse(f"more than {MOST_WORK:,} characters made on the way")


def require_size(size: int) -> None:
    """Refuse a value of so many characters or elements before it is made."""
    if size > LARGEST:
        refuse(f"a value of more than {LARGEST:,} characters or elements")


def write_out(value: object) -> object:
    """Weigh what is written; the value itself."""
    count_written(len(value) if type(value) is str else weigh_value(value, deep=True))
    return value


def count_written(characters: int) -> None:
    """Count characters that are written."""
    spent = _running.spent
    if spent is not None:
        spent.written += characters
        require_size(spent.written)


def weigh_value(value: object, *, deep: bool = False) -> int:
    """Count the characters or elements of a value, or of all that is in it."""
    if type(value) is str:  # mostly
        size = len(value)
        require_size(size)
        take(0, size)
        return size
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            refuse(f"a number of more than {MOST_BITS:,} bits")
        return 1
    size = len(value) if isinstance(value, Sized) and not isinstance(value, Mapping) else 1
    if deep and isinstance(value, list | tuple | dict | set):
        size = sum(leaves(value))
    require_size(size)
    take(0, size)
    return size


def go_through(values: Sequence[object], *, deep: bool = False) -> None:
    """Count what a function looks at, or has made."""
    for each in values:
        size = weigh_value(each, deep=deep)
        take(0 if isinstance(each, str) else size // ELEMENTS_A_STEP)


def leaves(value: object) -> Iterator[int]:
    """Sizes of all that is in a value, as often as it is there: a text of it has each."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        take(1)
        yield len(each) if isinstance(each, str | bytes) else 1
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set):
            waiting += each


def require_narrow(form: object, arguments: object) -> None:
    """Refuse a format that pads to a width beyond need."""
    if isinstance(form, str | bytes):
        text = form if isinstance(form, str) else form.decode("latin-1")
        if WIDE.search(text) or re.search(r"\{[^{}]*\{", text):
            refuse("a format with a width of 10,000 or more, or one that is computed")
        weigh_value(arguments, deep=True)


def require_result(name: str, given: tuple[Any, ...]) -> None:
    """Refuse a filter or method of text that would make too much of what it is given."""
    value, *rest = given or (None,)
    widths = [len(each) if isinstance(each, str) else each for each in rest]
    widths = [each for each in widths if isinstance(each, int)]
    if name in ("format", "format_map"):
        require_narrow(value, rest)
    elif name == "replace" and len(rest) >= 2 and isinstance(value, str):
        require_size(len(value) + value.count(str(rest[0])) * len(str(rest[1])))
    elif name == "join" and rest:
        parts, glue = (rest[0], value) if isinstance(value, str) else (value, rest[0])
        require_size(len(str(glue)) * (len(parts) if isinstance(parts, Sized) else LARGEST + 1))
    elif name in ("batch", "slice", "center", "ljust", "rjust", "zfill") and widths:
        require_size(max(widths))
    elif name in ("indent", "tojson", "expandtabs") and widths:
        require_size(max(widths) * sum(leaves(value)))
    elif name in ("rfind", "rindex", "rsplit", "rpartition") and rest:
        take(0, len(value) * len(str(rest[0])))  # they search in a simple way


@contextmanager
def counting() -> Iterator[None]:
    """Count anew inside."""
    before, _running.spent = _running.spent, Spent()
    try:
        yield
    finally:
        _running.spent = before
