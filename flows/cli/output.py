"""What verbs print: JSON and tables on stdout, in one form for all of them."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.visible import harmless

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 118  # columns of a table where stdout is no terminal


def print_text(text: str) -> None:
    """Print a text as it is, but for what would do something to the terminal.

    All that verbs print goes through here or through `print_table`: text of rows, names of files
    and messages of libraries can hold anything.
    """
    sys.stdout.write(harmless(text))


def print_json(value: object) -> None:
    """Print a value as JSON, dataclasses as objects and NaN as null."""
    import orjson

    out = orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()  # str: for paths
    print_text(f"{out}\n")


def print_answer(value: object, text: str, as_json: bool) -> None:
    """Print what a person reads, or the value behind it as JSON."""
    if as_json:
        print_json(value)
    else:
        print_text(text)


def as_lines(lines: Iterable[str]) -> str:
    """A text of these lines, the last one ended too."""
    return "".join(f"{line}\n" for line in lines)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], as_json: bool) -> None:
    """Print rows as a table, or as JSON with the columns as keys."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table; None is an empty cell."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in columns:
        # Folded: an id that is cut is of no use.
        table.add_column(escape(harmless(name)), overflow="fold")
    for row in rows:
        cells = ("" if value is None else harmless(str(value)) for value in row)
        table.add_row(*map(escape, cells))  # no markup
    stdout_console().print(table)


def stdout_console() -> "Console":
    """A console on stdout, of a fixed width where that is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def shown_path(path: Path) -> str:
    """A path as seen from the working directory, without detours."""
    return os.path.relpath(path)
