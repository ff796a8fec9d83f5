"""The part of `sluice plan` about the training: a few of its steps are tried, and carried over."""

from collections.abc import Sequence
from pathlib import Path

from fine_tune.mixed_export import OWN, MixedExport
from fine_tune.mixture import find_export
from fine_tune.trial_steps import TrainPlan, plan_stages, plan_training
from flows.progress import say, spoken
from flows.recipe.schema import Recipe
from pipeline.selection.step import RankStep
from scorers.measures.models.loading import resolve_model
from storage.database import read_workspace
from storage.examples import read_examples, read_origins
from storage.exports_manifest import read_manifest
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
        origins = read_origins(con, tried[:TRIED_ROWS])
        talks = [
            (each.conversation, origins[each.example_id][0])
            for each in read_examples(con, tried[:TRIED_ROWS])
        ]
    if not talks:
        return None
    rows = [
        {
            "prompt": talk.messages[: talk.trained_at[-1]],
            "completion": [talk.messages[talk.trained_at[-1]]],
            "tools": talk.tools or None,
            "source": source or "generated",
        }
        for talk, source in talks
    ]
    say("plan: trying some steps of the training")
    lengths = (counts["prompt_tokens"] + counts["response_tokens"])[fitting]
    loss_tokens = counts["response_tokens"][fitting].mean()
    trained = trained_rows_at_most(recipe, len(fitting), float(loss_tokens))
    model = resolve_model(placed.target).path
    length = float(lengths.mean())
    if not (recipe.train.stages or recipe.train.mix):
        return plan_training(model, rows, length, trained, recipe.train)

    def sizes(mixed: MixedExport) -> tuple[int, float]:
        if mixed.export == OWN:
            drawn = mixed.drawn(trained)
            return drawn, drawn * length
        exports = Workspace(Path(placed.workspace)).exports
        counts = read_manifest(find_export(mixed.export, exports)).trained()["train"]
        drawn = mixed.drawn(counts.rows)
        return drawn, drawn * (counts.prompt_tokens + counts.loss_tokens) / counts.rows

    return plan_stages(model, rows, sizes, recipe.train)


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


def training_plan_lines(plan: TrainPlan) -> list[str]:
    """What the training will cost, and each of its stages."""
    parts = [("training", plan)]
    parts += [(f"  stage {number}", each) for number, each in enumerate(plan.stages, start=1)]
    return [
        f"{name}: at most {each.rows:,} rows in {each.steps:,} steps, {each.tokens:,} tokens; "
        f"{spoken(each.seconds)} and {each.peak_bytes / 2**30:.1f} GiB on this machine"
        for name, each in parts
    ]
