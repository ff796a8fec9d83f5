"""What is taken of a document: its text, where pages and headings begin, or why nothing could be.

Nothing of the text is normalised but the ends of its lines.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import regex

MOST_BYTES = 2**28
"""Of a file, and of what is packed in one; a larger one is quarantined."""

MOST_MARKED_UP = 2**26
"""Bytes of a file that is one tree in memory, which takes several times as much."""

MOST_TEXT = 2**25
"""Characters of the text of a document."""

DocumentReason: TypeAlias = Literal[
    "damaged",
    "empty",
    "encrypted",
    "no_text",
    "not_text",
    "not_utf8",
    "too_large",
    "uncuttable",
    "unknown_kind",
    "unreadable",
    "wrong_name",
]
"""Why a file gives no passages; docs/recipes/documents.md has a line for each."""

VISIBLE = regex.compile(r"[\p{L}\p{N}\p{P}\p{S}]")


class UnreadableDocumentError(ValueError):
    """A file gives no text.

    Attributes:
        reason: which rule it breaks.
        detail: what was found, and what to do.
    """

    def __init__(self, reason: DocumentReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DocumentReason = reason
        self.detail = detail


class Heading(NamedTuple):
    """A heading of a text."""

    at: int  # the character it begins at
    level: int  # 0 is the title of all, 1 the outermost
    title: str


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text of a document, and what is known of its parts."""

    text: str
    headings: Sequence[Heading] = ()
    """In the order of the text."""
    pages: Sequence[int] = ()
    """The character each page begins at; none where the kind of file has no pages."""
    remark: str = ""
    """What else is to be said of it, such as pages without text."""

    def page_at(self, at: int) -> int | None:
        """The page that a character stands on, from 1; None without pages."""
        return bisect_right(self.pages, at) if self.pages else None


def heading_paths(headings: Sequence[Heading], places: Sequence[int]) -> list[tuple[str, ...]]:
    """For each place, rising, the titles it stands under, outermost first."""
    paths: list[tuple[str, ...]] = []
    under: list[Heading] = []
    left = list(reversed(headings))
    for place in places:
        while left and left[-1].at <= place:
            heading = left.pop()
            under = [each for each in under if each.level < heading.level]
            under.append(heading)
        paths.append(tuple(each.title for each in under))
    return paths


def require_visible(found: ExtractedText) -> ExtractedText:
    """The same, if there is something to read in it.

    Raises:
        UnreadableDocumentError: `empty` or `too_large`.
    """
    if len(found.text) > MOST_TEXT:
        raise too_much_text(len(found.text))
    if not VISIBLE.search(found.text):
        raise UnreadableDocumentError("empty", "there is nothing to read in it: remove the file")
    return found


def too_much_text(characters: int) -> UnreadableDocumentError:
    """The error for a document with so many characters."""
    return UnreadableDocumentError(
        "too_large", f"it has {characters} characters or more, and {MOST_TEXT} are read: split it"
    )
