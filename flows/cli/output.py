"""What verbs print: JSON and tables on stdout, in one form for all of them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 118
"""Columns of a table where stdout is no terminal."""


def print_json(value: object) -> None:
    """Print a value as JSON to stdout."""
    import orjson

    out = orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()
    sys.stdout.write(f"{out}\n")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], as_json: bool) -> None:
    """Print rows as a table, or as JSON with the columns as keys."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in columns:
        table.add_column(escape(name), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    stdout_console().print(table)


def stdout_console() -> "Console":
    """A console on stdout, of a fixed width where that is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def shown_path(path: Path) -> str:
    """A path as seen from the working directory, without detours."""
    return os.path.relpath(path)
