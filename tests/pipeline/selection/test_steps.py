"""A method of selection is a file, its step in steps.py, and a test: a forgotten one is named."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import get_args

import pytest

from pipeline.selection import methods
from pipeline.selection.step import SelectionStep
from pipeline.selection.steps import Step
from tests.pipeline.selection.methods.test_contract import METHODS

FOLDER = Path(str(methods.__file__)).parent
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "__init__")
STEPS = set(get_args(get_args(Step)[0]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_step_of_a_method_is_in_steps(path: Path) -> None:
    module = importlib.import_module(f"{methods.__name__}.{path.stem}")
    own = {
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == module.__name__ and issubclass(each, SelectionStep)
    }
    assert own - STEPS == set(), "not in pipeline/selection/steps.py, so no recipe can name it"


def test_every_step_is_called_by_one_name() -> None:
    names = [get_args(step.model_fields["method"].annotation) for step in STEPS]
    assert sorted({name for (name,) in names}) == sorted(name for (name,) in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_method_is_tried_by_the_contract(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert any(name.startswith("select_") for name in public)
    assert path.stem in METHODS, "not in METHODS of tests/pipeline/selection/methods"
