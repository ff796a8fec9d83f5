"""The benchmark of methods of training: each one that a step can tell of is in it."""

import json
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.training_methods import LONGEST, TRAININGS
from benchmarks.training_steps import short_pairs
from fine_tune.catalogue import Method
from fine_tune.settings import TrainSettings

IN_STEPS = {"inputs", "loss", "parameters", "gradient", "adapter", "weights of tasks"}


def test_every_method_that_changes_steps_is_measured() -> None:
    measured = {
        each.method
        for settings in TRAININGS.values()
        for each in TrainSettings.model_validate({**settings, "batch_rows": 8}).methods
    }
    classes = get_args(get_args(Method)[0])
    assert measured == {
        get_args(each.model_fields["method"].annotation)[0]
        for each in classes
        if each.changes in IN_STEPS
    }


@pytest.mark.parametrize("length", [LONGEST // 2, LONGEST // 2 + 1])
def test_long_rows_are_left_out(length: int, tmp_path: Path) -> None:
    (tmp_path / "instruct").mkdir()
    rows = [{"instruction": "p" * length, "input": "", "output": "r" * length}] * 3
    (tmp_path / "instruct" / "alpaca_9k.json").write_text(json.dumps(rows))
    assert len(short_pairs(tmp_path, 2)) == (2 if 2 * length <= LONGEST else 0)
