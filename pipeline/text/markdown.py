"""Markdown: tables, and texts of others that are shown in it and are no markup of their own."""

import re
from collections.abc import Iterable, Sequence

from storage.visible import harmless

RULES = {"l": "---", "r": "--:"}

MARKUP = re.compile(r"[\\`*\[\]<>|]|(?<![^\W_])_|_(?![^\W_])")
"""What begins code, emphasis, a link, a picture, HTML or a cell; Markdown takes a backslash before
it for the sign itself. An underscore between letters is none, and names are full of them."""


def escape_markdown(text: object) -> str:
    """A text on one line in which nothing is markup, a command, or out of sight."""
    return MARKUP.sub(r"\\\g<0>", " ".join(harmless(str(text)).split()))


def code_span(text: object) -> str:
    """A text on one line as code, in more backticks than it has together."""
    shown = " ".join(harmless(str(text)).split())
    longest = max(map(len, re.findall(r"`+", shown)), default=0)
    if not longest:
        return f"`{shown}`"
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}"  # the blanks are for one at an end, and are not shown


def markdown_table(
    align: str, headings: Sequence[str], rows: Iterable[Sequence[object]] = ()
) -> str:
    """A table, without a newline at its end.

    Args:
        align: a letter for each column: l for left, as texts are, r for right, as numbers.
        headings: of the columns.
        rows: a cell for each column, as plain text.

    Raises:
        ValueError: if a row, or the headings, have another number of cells.
    """
    lines = []
    for cells in (headings, *rows):
        if len(cells) != len(align):
            raise ValueError(f"expected {len(align)} cells, got {list(cells)}")
        lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
    lines.insert(1, f"|{'|'.join(RULES[letter] for letter in align)}|")
    return "\n".join(lines)


def bullets(items: Iterable[object]) -> list[str]:
    """Lines of a list, each of plain text."""
    return [f"- {escape_markdown(item)}" for item in items]
