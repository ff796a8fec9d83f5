"""The flow that runs a recipe: raw rows in, a selection, an export and an adapter out."""

import os
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.check_recipe import load_recipe
from flows.recipe import Recipe
from flows.stages import STAGES, RunState, StageName, begin, finish
from flows.talk import say
from pipeline.report import funnel_markdown, write_report
from storage.database import read_workspace
from storage.runs import read_counts
from storage.turns import take_turn
from storage.workspace import Workspace

MOST_TASKS = 16
"""Threads for tasks; how many there are at a time is decided by what there is to compute on."""

ON_THREADS: Any = ThreadPoolTaskRunner(max_workers=MOST_TASKS)


@flow(
    name="curate",
    flow_run_name="{recipe.name}, up to {until}",
    task_runner=ON_THREADS,
    persist_result=False,
)
def curate(
    recipe: Recipe, base: str = ".", until: StageName = "train", wait: bool = False
) -> RunState:
    """Run a recipe, stage by stage; what is stored already is not done again.

    Args:
        recipe: what to do.
        base: directory that the recipe's relative paths start from.
        until: the last stage to run.
        wait: for another run that works on the workspace; a backfill is always waited for.
    """
    resolved = recipe.with_target()
    placed = resolved.at(Path(base))
    workspace = Workspace(Path(placed.workspace))
    with take_turn(workspace, f"run {recipe.name}", wait=wait, tell=say):
        state = begin(resolved, placed)
        for name, stage in STAGES.items():
            state = stage(state)
            if name == until:
                break
        finish(state)
        show_funnel(state)
    return state


@flow(name="curate-file", task_runner=ON_THREADS, persist_result=False)
def curate_file(recipe_file: str, until: StageName = "train", wait: bool = True) -> None:
    """Run a recipe file: what a deployment is given.

    Args:
        recipe_file: path of the recipe on the worker.
        until: the last stage to run.
        wait: for another run that works on the workspace; without, the run fails.
    """
    path = Path(recipe_file)
    curate.fn(load_recipe(path), str(path.parent), until, wait)


def say_where_the_page_is() -> None:
    """Say which server keeps the run page, or that none does."""
    url = os.environ.get("PREFECT_API_URL")
    if url:
        say(f"the run page is kept by {url}")
    else:
        say("PREFECT_API_URL is not set: the run page will not be kept; `sluice server` keeps it")


def show_funnel(state: RunState) -> None:
    """Put the funnel on the run page, and into the workspace's reports."""
    workspace, run_id = state.run.workspace, state.run.run_id
    with read_workspace(workspace) as con:
        markdown = funnel_markdown(read_counts(con, run_id))
    write_report(workspace, run_id)
    create_markdown_artifact(
        key=f"funnel-{state.recipe.name}",
        markdown=markdown,
        description=f"What became of the rows of run {run_id}",
    )
