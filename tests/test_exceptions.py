"""Exceptions of our own: each stands in the tree of its package, with the exit code it carries."""

import ast
import builtins
import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.cli.main import exit_code

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "flows", "scorers", "storage", "fine_tune")
BRANCH = re.compile(r"^ +[├└]── (\w+) +(\d?) {2}[^(]+\((\S+)\)", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Branch:
    """One exception of a tree."""

    name: str
    base: str
    code: str
    """The exit code of the command that it ends; empty where it is always caught."""
    file: str


def drawn(package: str) -> list[Branch]:
    """The tree as the docstring of a package has it."""
    text = importlib.import_module(package).__doc__ or ""
    groups = re.split(r"^ {4}(\w+)$", text, flags=re.MULTILINE)[1:]
    return [
        Branch(name, base, code, file)
        for base, group in zip(groups[::2], groups[1::2], strict=True)
        for name, code, file in BRANCH.findall(group)
    ]


def defined(package: str) -> list[Branch]:
    """The exceptions that the source of a package has; a private one never leaves its module."""
    return [
        Branch(node.name, base, code_in(node), file.relative_to(ROOT / package).as_posix())
        for file in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.bases
        for base in [ast.unparse(node.bases[0])]
        if base.endswith(("Error", "Exception")) or hasattr(builtins, base)
    ]


def code_in(node: ast.ClassDef) -> str:
    """The exit code in the body of a class."""
    codes = [
        ast.unparse(line.value)
        for line in node.body
        if isinstance(line, ast.AnnAssign)
        and line.value
        and ast.unparse(line.target) == "exit_code"
    ]
    return "".join(codes)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tree_has_every_exception(package: str) -> None:
    assert set(drawn(package)) ^ set(defined(package)) == set()


def test_the_exit_code_is_that_of_the_class_and_a_bug_has_none() -> None:
    class OursError(ValueError):
        exit_code = 5

    class NearerError(OursError):
        pass

    assert exit_code(NearerError("x")) == 5
    assert exit_code(ValueError("x")) is None
