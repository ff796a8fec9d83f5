"""The flow that runs a recipe: raw rows in, a selection, an export and an adapter out."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.recipe import Recipe
from flows.stages import STAGES, RunState, StageName, begin
from pipeline.report import funnel_markdown
from storage.database import read_workspace
from storage.runs import read_counts

ONE_AT_A_TIME: Any = ThreadPoolTaskRunner(max_workers=1)
"""A model uses every core by itself: two tasks at a time would only get in each other's way."""


@flow(name="curate", task_runner=ONE_AT_A_TIME, persist_result=False, validate_parameters=True)
def curate(recipe: Recipe, base: str = ".", until: StageName = "train") -> RunState:
    """Run a recipe, stage by stage; what is stored already is not done again.

    Args:
        recipe: what to do.
        base: directory that the recipe's relative paths start from.
        until: the last stage to run.
    """
    resolved = recipe.with_target()
    state = begin(resolved, resolved.at(Path(base)))
    for name, stage in STAGES.items():
        state = stage(state)
        if name == until:
            break
    show_funnel(state)
    return state


def show_funnel(state: RunState) -> None:
    """Put the funnel on the run page."""
    with read_workspace(state.run.workspace) as con:
        counts = read_counts(con, state.run.run_id)
    create_markdown_artifact(
        key=f"funnel-{state.recipe.name}",
        markdown=funnel_markdown(counts),
        description=f"What became of the rows of run {state.run.run_id}",
    )
