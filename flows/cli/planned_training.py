"""The part of `sluice plan` about the training: a few of its steps are tried, and carried over."""

from collections.abc import Sequence
from pathlib import Path

from fine_tune.trial_steps import TrainPlan, plan_training
from flows.progress import say, spoken
from flows.recipe.schema import Recipe
from pipeline.selection.step import RankStep
from scorers.measures.models.loading import resolve_model
from storage.database import read_workspace
from storage.examples import read_examples
from storage.measurements import read_measurements
from storage.workspace import Workspace

TRIED_ROWS = 24
"""Rows of the pool, from all over it, that the steps of a training are tried on."""


def plan_train(recipe: Recipe, base: Path, pool: Sequence[str]) -> TrainPlan | None:
    """What the training will cost at most; None where there is none, or nothing to train on."""
    if recipe.train is None:
        return None
    placed = recipe.at(base)
    key = placed.measure.tokens.key()
    columns = ("prompt_tokens", "response_tokens")
    with read_workspace(Workspace(Path(placed.workspace))) as con:
        states, counts = read_measurements(con, key, columns, pool)
        fitting = [place for place, state in enumerate(states) if state == "ok"]
        tried = [pool[place] for place in fitting[:: max(1, len(fitting) // TRIED_ROWS)]]
        talks = [each.conversation for each in read_examples(con, tried[:TRIED_ROWS])]
    if not talks:
        return None
    rows = [
        {
            "prompt": talk.messages[: talk.trained_at[-1]],
            "completion": [talk.messages[talk.trained_at[-1]]],
            "tools": talk.tools or None,
        }
        for talk in talks
    ]
    say("plan: trying some steps of the training")
    lengths = (counts["prompt_tokens"] + counts["response_tokens"])[fitting]
    loss_tokens = counts["response_tokens"][fitting].mean()
    trained = trained_rows_at_most(recipe, len(fitting), float(loss_tokens))
    model = resolve_model(placed.target).path
    return plan_training(model, rows, float(lengths.mean()), trained, recipe.train)


def trained_rows_at_most(recipe: Recipe, pool: int, loss_tokens: float) -> int:
    """Rows that the budget of a recipe buys of a pool; with so many loss tokens in the mean."""
    last = recipe.select.steps[-1]
    if not isinstance(last, RankStep):
        return pool
    budget = last.budget
    bought = budget.rows or int((budget.fraction or 1.0) * pool)
    if budget.loss_tokens:
        bought = int(budget.loss_tokens / loss_tokens)
    return max(1, min(pool, bought))


def training_plan_line(plan: TrainPlan) -> str:
    """What the training will cost."""
    return (
        f"training: at most {plan.rows:,} rows in {plan.steps:,} steps, {plan.tokens:,} tokens; "
        f"{spoken(plan.seconds)} and {plan.peak_bytes / 2**30:.1f} GiB on this machine"
    )
