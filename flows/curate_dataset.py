"""The flow that runs a recipe: raw rows in, a selection, an export and an adapter out."""

import os
from pathlib import Path
from typing import Any

from prefect import Flow, flow
from prefect.artifacts import create_markdown_artifact

from flows.check_recipe import load_recipe
from flows.recipe import Recipe
from flows.runners import RunnerName, find_runner
from flows.stages import STAGES, RunState, StageName, begin, finish
from flows.talk import say
from pipeline.report import funnel_markdown, write_report
from storage.database import read_workspace
from storage.runs import read_counts
from storage.turns import take_turn
from storage.workspace import Workspace

ON_THREADS: Any = find_runner("threads", None)


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
def curate_file(
    recipe_file: str,
    until: StageName = "train",
    wait: bool = True,
    runner: RunnerName = "threads",
    cluster: str | None = None,
) -> None:
    """Run a recipe file: what a deployment is given.

    Args:
        recipe_file: path of the recipe on the worker.
        until: the last stage to run.
        wait: for another run that works on the workspace; without, the run fails.
        runner: where tasks are done.
        cluster: address of the Dask or Ray cluster.
    """
    path = Path(recipe_file)
    recipe = load_recipe(path)
    if runner == "threads" and not cluster:
        curate.fn(recipe, str(path.parent), until, wait)
    else:  # a task runner is a flow's for the whole of it, so this is a run inside the run
        curate_on(runner, cluster)(recipe, str(path.parent), until, wait)


def curate_on(runner: RunnerName, cluster: str | None) -> Flow[..., RunState]:
    """The flow with its tasks done on a runner; its arguments are those of `curate`.

    Raises:
        ClusterError: if the cluster cannot be used.
        MissingExtraError: if the package for it is not installed.
    """
    found: Any = find_runner(runner, cluster)
    return curate.with_options(task_runner=found)


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
