"""What a plan says of the training."""

from dataclasses import replace
from typing import Any

import pytest

from fine_tune.trial_steps import TrainPlan
from flows.cli.planned_training import trained_rows_at_most, training_plan_lines
from flows.recipe.schema import Recipe


@pytest.mark.parametrize(
    ("budget", "rows"),
    [
        ({"rows": 40}, 40),
        ({"rows": 4000}, 100),  # no more than there are
        ({"fraction": 0.25}, 25),
        ({"loss_tokens": 990}, 33),  # of 30 each
        ({"loss_tokens": 3}, 1),
    ],
)
def test_the_budget_says_how_many_rows_are_trained_at_most(
    budget: dict[str, Any], rows: int
) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "r",
            "workspace": "w",
            "target": "wheel:smollm2-135m-instruct",
            "sources": [{"path": "rows.jsonl", "license": "mit"}],
            "select": {"name": "s", "steps": [{"method": "random", "budget": budget}]},
        }
    )
    assert trained_rows_at_most(recipe, 100, 30.0) == rows


def test_the_plan_is_one_line_and_one_of_each_stage() -> None:
    plan = TrainPlan(rows=1200, steps=300, tokens=90_000, seconds=125.0, peak_bytes=3 * 2**30)
    line = "at most 1,200 rows in 300 steps, 90,000 tokens; 2 min and 3.0 GiB on this machine"
    assert training_plan_lines(plan) == [f"training: {line}"]
    staged = replace(plan, stages=(plan, plan))
    assert training_plan_lines(staged)[1:] == [f"  stage {n}: {line}" for n in (1, 2)]
