"""Docstrings of modules, read without importing them."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


def docstring(path: Path) -> str:
    """The docstring of a module.

    Raises:
        ValueError: if it has none.
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{path.relative_to(ROOT)} has no docstring")
    return text


def first_line(path: Path) -> str:
    """The first line of a module's docstring, without its full stop.

    Raises:
        ValueError: if it has no docstring.
    """
    return docstring(path).splitlines()[0].rstrip(".")
