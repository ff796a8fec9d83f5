"""How a stage tells what it does and how far it is; who shows it is up to the caller."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar

Each = TypeVar("Each")

Say: TypeAlias = Callable[[str], None]  # is given one line for the user
# Is given what is done, how much of it is done, and of how much; None where nobody knows.
Report: TypeAlias = Callable[[str, int, int | None], None]


def tell_nobody(what: str, done: int, total: int | None) -> None:
    """For callers that do not want to know."""


def one_by_one(what: str, items: Sequence[Each], report: Report) -> Iterator[Each]:
    """The items in order; how many are done is told before each, and at the end."""
    for done, item in enumerate(items):
        report(what, done, len(items))
        yield item
    if items:  # of nothing there is nothing to tell
        report(what, len(items), len(items))
