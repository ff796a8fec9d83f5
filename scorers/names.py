"""What to say of a name that is not there."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest of the names that exist, and all of them: the end of a message."""
    there = sorted(known)
    near = get_close_matches(name, there, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}There are: {', '.join(there) or 'none'}."
