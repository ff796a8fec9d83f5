"""Markdown: tables, and texts of others that are shown in it and are no markup of their own."""

import re
from collections.abc import Iterable, Sequence

from storage.visible import harmless

RULES = {"l": "---", "r": "--:"}

MARKUP = re.compile(r"[\\`*\[\]<>|]|(?<![^\W_])_|_(?![^\W_])")
"""What begins code, emphasis, a link, a picture, HTML or a cell; Markdown takes a backslash before
it for the sign itself. An underscore between letters is none, and names are full of them."""


NAME = re.compile(r"(?<![`\\])`([A-Za-z](?:[\w:=. -]*\w)?)`(?!`)", re.ASCII)
"""What our own advice has as code: a setting, or one with its value."""


def escape_markdown(text: object) -> str:
    """A text on one line in which nothing is markup, a command, or out of sight."""
    return " ".join(_escape(harmless(str(text))).split())


def _escape(text: str) -> str:
    return MARKUP.sub(r"\\\g<0>", text)


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
    """Lines of a list, each of plain text, but for names between backticks, which are code."""
    return [f"- {show_names(str(item))}" for item in items]


def show_names(text: str) -> str:
    """A text on one line in which `chat_template` and the like are code, and nothing else markup.

    In such a name nothing can be markup, so it does not matter who wrote it.
    """
    pieces = NAME.split(harmless(text))  # what stands between names, and each second one a name
    shown = [f"`{piece}`" if at % 2 else _escape(piece) for at, piece in enumerate(pieces)]
    return " ".join("".join(shown).split())
