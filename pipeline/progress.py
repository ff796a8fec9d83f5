"""How a stage tells what it does and how far it is; who shows it is up to the caller."""

from collections.abc import Callable
from typing import TypeAlias

Say: TypeAlias = Callable[[str], None]
"""Is given one line for the user."""

Report: TypeAlias = Callable[[str, int, int | None], None]
"""Is given what is done, how much of it is done, and of how much; None where nobody knows."""


def tell_nobody(what: str, done: int, total: int | None) -> None:
    """For callers that do not want to know."""
