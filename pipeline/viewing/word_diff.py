"""Two texts side by side: what both have, and what only one of them has, word by word."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_WORDS = 800
"""Of each text that are compared: difflib's time grows with their product."""

PIECE = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a text."""

    text: str
    own: bool
    """Whether the other text lacks it."""


def compare_words(left: str, right: str) -> tuple[list[Stretch], list[Stretch]]:
    """Both texts in pieces, as far as MOST_WORDS; what is behind is left out."""
    a, b = cut_words(left), cut_words(right)
    # Without autojunk: it takes what is frequent in a long text for noise, and "the" is no noise.
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    sides: tuple[list[Stretch], list[Stretch]] = ([], [])
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        for side, words in zip(sides, (a[a0:a1], b[b0:b1]), strict=True):
            if words:
                side.append(Stretch("".join(words), kind != "equal"))
    return sides


def cut_words(text: str) -> Sequence[str]:
    """The words and signs of a text with the blanks between them, as many as are compared."""
    found = []
    for match in PIECE.finditer(text):
        found.append(match[0])
        if len(found) == 2 * MOST_WORDS:  # a blank stands between most words
            break
    return found
