"""What to say of a name that is not there, and what a form calls a block of a recipe."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest of the names that exist, and all of them: the end of a message."""
    there = sorted(known)
    near = get_close_matches(name, there, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}There are: {', '.join(there) or 'none'}."


def form_title(block: Any) -> str:  # noqa: ANN401 - a pydantic model, which scorers do without
    """What a form calls a block: its method, as a recipe has it, or the name of its class in words.

    Prefect makes a tab of each kind of block that may stand in a place.
    """
    fields = block.model_fields
    if "method" in fields and (methods := get_args(fields["method"].annotation)):
        return str(methods[0])
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", block.__name__).removesuffix(" Settings")
    return words.capitalize()
