"""Tables in Markdown."""

from collections.abc import Iterable, Sequence

RULES = {"l": "---", "r": "--:"}


def markdown_table(
    align: str, headings: Sequence[str], rows: Iterable[Sequence[object]] = ()
) -> str:
    """A table, without a newline at its end.

    Args:
        align: a letter for each column: l for left, as texts are, r for right, as numbers.
        headings: of the columns.
        rows: a cell for each column; white space in it becomes one blank, and a bar is escaped.

    Raises:
        ValueError: if a row, or the headings, have another number of cells.
    """
    lines = []
    for cells in (headings, *rows):
        if len(cells) != len(align):
            raise ValueError(f"expected {len(align)} cells, got {list(cells)}")
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    lines.insert(1, f"|{'|'.join(RULES[letter] for letter in align)}|")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
