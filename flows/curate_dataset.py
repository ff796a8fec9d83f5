"""The flow that runs a recipe: raw rows in, a selection, an export and an adapter out."""

import os
from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.artifacts import show_export, show_funnel, show_histograms
from flows.check_recipe import check_given, load_recipe
from flows.name_runs import name_curation
from flows.recipe import Recipe
from flows.record_training import collect_trainings
from flows.stages import STAGES, RunState, StageName, begin, finish
from flows.talk import say
from pipeline.export import Exported
from pipeline.report import funnel_markdown, funnel_rows
from pipeline.score_histograms import draw_score_histograms
from storage.database import read_workspace
from storage.runs import read_counts

MOST_TASKS = 16
"""Threads for tasks; how many there are at a time is decided by what there is to compute on."""

ON_THREADS: Any = ThreadPoolTaskRunner(max_workers=MOST_TASKS)

EXPORTED_EVENT = "sluice.selection.exported"


@task(task_run_name="read the sources", cache_policy=NO_CACHE, persist_result=False)
def start(recipe: Recipe, placed: Recipe) -> RunState:
    """Identify the sources and read what of them is new."""
    return begin(recipe, placed)


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def do_stage(state: RunState, name: StageName) -> RunState:
    """Do one stage, so that it is seen on the run's page."""
    return STAGES[name](state)


def as_it_is(state: RunState) -> RunState:
    """Have Prefect pass a state on without a look inside, for futures, at millions of ids."""
    return cast(RunState, quote(state))


@flow(name="curate", flow_run_name=name_curation, task_runner=ON_THREADS, persist_result=False)
def curate(recipe: Recipe, base: str = ".", until: StageName = "train") -> quote:
    """Run a recipe, stage by stage; what is stored already is not done again.

    The state at the end is quoted, since Prefect looks at all that a flow returns, too.

    Args:
        recipe: what to do.
        base: directory that the recipe's relative paths start from.
        until: the last stage to run.
    """
    resolved = recipe.with_target()
    state = start(resolved, resolved.at(Path(base)))
    if missed := collect_trainings(state.run.workspace):
        say(f"train: {missed} trainings were done elsewhere and are recorded now", again=True)
    for name in STAGES:
        state = do_stage(as_it_is(state), name)
        if name == "export":
            hand_over(state, until)
        if name == until:
            break
    if until == "train":
        finish(state)
    show_report(state)
    return quote(state)


@flow(name="curate-file", flow_run_name=name_curation, task_runner=ON_THREADS, persist_result=False)
def curate_file(recipe_file: str, until: StageName = "train") -> None:
    """Run a recipe file: what a deployment is given.

    Args:
        recipe_file: path of the recipe on the worker.
        until: the last stage to run.
    """
    path = Path(recipe_file)
    curate.fn(load_recipe(path), str(path.parent), until)


@flow(
    name="curate-recipe", flow_run_name=name_curation, task_runner=ON_THREADS, persist_result=False
)
def curate_recipe(recipe: Recipe, base: str = ".", until: StageName = "train") -> None:
    """Run a recipe that is given as a whole: the form in the UI.

    Args:
        recipe: what to do.
        base: directory on the worker that the recipe's relative paths start from.
        until: the last stage to run.
    """
    curate.fn(check_given(recipe, Path(base)), base, until)


def say_where_the_page_is() -> None:
    """Say which server keeps the run page, or that none does."""
    url = os.environ.get("PREFECT_API_URL")
    if url:
        say(f"the run page is kept by {url}")
    else:
        say("PREFECT_API_URL is not set: the run page will not be kept; `sluice server` keeps it")


def hand_over(state: RunState, until: StageName) -> None:
    """Show the export, and tell whoever listens that there is one to train on."""
    exported = state.exported
    assert exported is not None
    show_export(state.recipe.name, exported.path, exported.manifest)
    elsewhere = state.recipe.train is not None and until == "export"
    emit_event(
        event=EXPORTED_EVENT,
        resource={
            "prefect.resource.id": f"sluice.export.{exported.manifest.export_id}",
            "prefect.resource.name": exported.path.name,
            "sluice.train": "elsewhere" if elsewhere else "no",
        },
        payload=export_payload(state, exported),
    )


def export_payload(state: RunState, exported: Exported) -> dict[str, object]:
    """What the event of an export says; paths are absolute."""
    counts = exported.manifest.counts("train")
    return {
        "export": str(exported.path.resolve()),
        "export_id": exported.manifest.export_id,
        "workspace": str(state.run.workspace.directory.resolve()),
        "target": target_from_anywhere(state.placed.target),
        "recipe": state.recipe.name,
        "run_id": state.run.run_id,
        "rows": counts.rows,
        "loss_tokens": counts.loss_tokens,
    }


def target_from_anywhere(target: str) -> str:
    """A model's reference that does not depend on the working directory."""
    return str(Path(target).resolve()) if Path(target).is_dir() else target


def show_report(state: RunState) -> None:
    """Put funnel and scores on the run's page, and into the workspace's reports."""
    workspace, run_id, name = state.run.workspace, state.run.run_id, state.recipe.name
    with read_workspace(workspace) as con:
        counts = read_counts(con, run_id)
    workspace.reports.mkdir(exist_ok=True)
    report = f"# Run {run_id} of {name}\n\n{funnel_markdown(counts)}"
    (workspace.reports / f"{run_id}.md").write_text(report, encoding="utf-8")
    show_funnel(name, run_id, funnel_rows(counts))
    picture = draw_score_histograms(state.run, state.pool)
    if picture is not None:
        workspace.histograms_of(run_id).write_bytes(picture)
        show_histograms(name, run_id, picture)
