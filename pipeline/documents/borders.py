"""Where a text may be broken: beside white space, or between characters as a reader sees them."""

from collections.abc import Iterator

import regex

CLUSTER = regex.compile(r"\X")

NEAR = 64
"""Characters on each side that decide whether a place is within a cluster."""


def strip_span(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without white space at its ends; None if nothing is left."""
    inside = text[start:end]
    start += len(inside) - len(inside.lstrip())
    end -= len(inside) - len(inside.rstrip())
    return (start, end) if start < end else None


def last_border(text: str, place: int, floor: int, words_after: int) -> int:
    """The last place to break a text up to one: beside white space, or between two characters.

    A letter with its marks is one character, and so is an emoji of several parts. Where a single
    one goes on beyond the place, that is given, which is between two code points at least.

    Args:
        text: to be broken.
        place: the furthest that a piece may go.
        floor: where the piece begins; what is given is after it.
        words_after: white space is looked for after here only.
    """
    for at in range(place, max(floor, words_after), -1):
        if text[at - 1].isspace() or text[at : at + 1].isspace():
            return at
    return max((at for at in _borders(text, place, floor) if floor < at <= place), default=place)


def character_end(text: str, at: int) -> int:
    """Where the character ends that begins at a place, all its marks included."""
    found = CLUSTER.match(text, at)
    return int(found.end()) if found else at + 1


def next_border(text: str, place: int, end: int) -> int:
    """The first start of a word from a place on, of a character if there is none before the end."""
    for at in range(max(place, 1), end):
        if text[at - 1].isspace() and not text[at].isspace():
            return at
    return min((at for at in _borders(text, place, 0) if place <= at < end), default=end)


def _borders(text: str, place: int, floor: int) -> Iterator[int]:
    """Borders between characters around a place."""
    begin = max(floor, place - NEAR, 0)
    for found in CLUSTER.finditer(text[begin : place + NEAR]):
        yield begin + found.start()
