"""What every method of training must do, whatever it changes."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from docs.docstrings import ROOT
from fine_tune import methods
from fine_tune.catalogue import Method
from fine_tune.method import Change, TrainingMethod

HOOKS: dict[Change, str] = {
    "weights of tokens": "token_weights",
    "weights of tasks": "task_weights",
    "inputs": "change_inputs",
    "loss": "batch_loss",
    "gradient": "take_gradient",
    "adapter": "init_adapter",
    "parameters": "prepare_model",
    "trained weights": "finish_model",
}
CLASSES: tuple[type[TrainingMethod], ...] = get_args(get_args(Method)[0])
every_method = pytest.mark.parametrize("method", CLASSES, ids=lambda each: each.__name__)


def name_of(method: type[TrainingMethod]) -> str:
    return str(get_args(method.model_fields["method"].annotation)[0])


def test_every_file_is_in_the_catalogue() -> None:
    files = {path.stem for path in Path(methods.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {name_of(each) for each in CLASSES}
    assert all(each.__module__ == f"fine_tune.methods.{name_of(each)}" for each in CLASSES)


@every_method
def test_it_overrides_the_hook_of_what_it_changes_and_no_other(
    method: type[TrainingMethod],
) -> None:
    overridden = {name for name in HOOKS.values() if name in vars(method)}
    shipped = method.loss_type != "nll"  # TRL does it
    assert overridden == (set() if shipped else {HOOKS[method.changes]})


@every_method
def test_it_says_formula_purpose_limits_cost_and_source(method: type[TrainingMethod]) -> None:
    text = inspect.getdoc(inspect.getmodule(method)) or ""
    assert re.search(r"^ {4}\S.*=|^ {4}of ", text, re.M), "what is computed"
    assert re.search(r"\bFor\b", text), "what it is for"
    assert re.search(r"\bNot\b", text), "when not"
    assert re.search(r"\b(Costs|Saves)\b", text), "what it costs"
    assert re.search(r"arXiv:\d{4}\.\d{5}", text), "where it is from"


@every_method
def test_every_setting_is_described(method: type[TrainingMethod]) -> None:
    fields = {name: each for name, each in method.model_fields.items() if name != "method"}
    assert all(field.description for field in fields.values())


def test_naming_methods_costs_no_torch() -> None:
    code = "import sys, fine_tune.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
