"""Our folders are top-level packages with everyday names; this keeps those names ours."""

import ast
import importlib
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "flows", "scorers", "storage", "fine_tune")
OURS = {"sluice-sft"}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_name_imports_our_folder(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None and Path(file).parent == ROOT / name


@pytest.mark.parametrize("name", PACKAGES)
def test_no_dependency_ships_the_name(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= OURS


def test_no_flow_file_shadows_a_module() -> None:
    # `prefect` puts flows/ first on sys.path when an entrypoint is given as a file.
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) - set(PACKAGES)
    assert {path.stem for path in (ROOT / "flows").glob("*.py")} & taken == set()


MAY_STAND_TWICE = {
    "Message",  # scorers and storage know nothing of each other, and both read conversations
    "serve",  # the verb, and what it does
}


def test_one_name_is_one_thing() -> None:
    places: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                for name in public_names(node):
                    places.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    twice = {name: sorted(files) for name, files in places.items() if len(files) > 1}
    assert {name: twice[name] for name in twice if name not in MAY_STAND_TWICE} == {}
    assert set(twice) >= MAY_STAND_TWICE


def public_names(node: ast.stmt) -> list[str]:
    """The classes, functions and kinds of things that a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        names = [name for name in names if name[0].isupper() and not name.isupper()]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id] if "TypeAlias" in ast.dump(node.annotation) else []
    else:
        names = []
    return [name for name in names if not name.startswith("_")]
