"""The flow that runs a recipe: raw rows in, a selection, an export and an adapter out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from prefect import Flow, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL
from prefect.utilities.annotations import quote
from pydantic import AfterValidator

from flows.artifacts import (
    show_changes,
    show_evidence,
    show_funnel,
    show_histograms,
    show_page,
    show_trial,
)
from flows.begin_run import RunState, begin
from flows.export_event import hand_over
from flows.progress import say
from flows.recipe.check import load_recipe
from flows.recipe.schema import Recipe
from flows.record_training import collect_trainings
from flows.run_names import name_curation
from flows.runners import RunnerName, find_runner
from flows.stages import STAGES, StageName, finish
from pipeline.measuring.stage import require_templates
from pipeline.reporting.report import funnel_rows, write_run_report
from pipeline.reporting.score_histograms import draw_score_histograms
from pipeline.viewing.page_mark import is_page_fresh, keep_mark
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace

ON_THREADS: Any = find_runner("threads", None)


def as_recipe(given: object) -> Recipe:
    """What the flow is given, if it is a recipe that was read and checked."""
    if not isinstance(given, Recipe):
        raise ValueError(f"expected a Recipe, got {type(given).__name__}")
    return given


if TYPE_CHECKING:
    GivenRecipe: TypeAlias = Recipe
else:  # of the class Prefect would write a form, which takes half a second each time
    GivenRecipe = Annotated[Any, AfterValidator(as_recipe)]


@task(task_run_name="read the sources", cache_policy=NO_CACHE, persist_result=False)
def start(recipe: Recipe, base: str) -> RunState:
    """Identify the sources and read what of them is new."""
    return begin(recipe, Path(base))


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def do_stage(state: RunState, name: StageName) -> RunState:
    """Do one stage, so that it is seen on the run's page."""
    return STAGES[name](state)


def as_it_is(state: RunState) -> RunState:
    """Have Prefect pass a state on without a look inside, for futures, at millions of ids."""
    return cast(RunState, quote(state))


@flow(name="curate", flow_run_name=name_curation, task_runner=ON_THREADS, persist_result=False)
def curate(
    recipe: GivenRecipe, base: str = ".", until: StageName = "train", wait: bool = False
) -> quote:
    """Run a recipe, stage by stage; what is stored already is not done again.

    The state at the end is quoted, since Prefect looks at all that a flow returns, too.

    Args:
        recipe: what to do.
        base: directory that the recipe's relative paths start from.
        until: the last stage to run.
        wait: for another run that works on the workspace; a backfill is always waited for.
    """
    resolved = recipe.with_target()
    placed = resolved.at(Path(base))
    workspace = Workspace(Path(placed.workspace))
    if until != "ingest":
        require_templates(placed.measure)
    with lock_workspace(workspace, f"run {recipe.name}", wait=wait, tell=say):
        state = start(resolved, base)
        if missed := collect_trainings(workspace):
            say(f"train: {missed} trainings were done elsewhere and are recorded now")
        for name in STAGES:
            state = do_stage(as_it_is(state), name)
            if name == "export":
                hand_over(state, until)
            if name == until:
                break
        finish(state)
        show_report(state)
    return quote(state)


@flow(name="curate-file", flow_run_name=name_curation, task_runner=ON_THREADS, persist_result=False)
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
        curate.fn(recipe, str(path.parent), until, wait)  # .fn: within this run, and not one below
    else:  # a task runner is a flow's for the whole of it, so this is a run inside the run
        curate_on(runner, cluster)(recipe, str(path.parent), until, wait)


def curate_on(runner: RunnerName, cluster: str | None) -> Flow[..., quote]:
    """The flow with its tasks done on a runner; its arguments are those of `curate`.

    Raises:
        ClusterError: if the cluster cannot be used.
        MissingExtraError: if the package for it is not installed.
    """
    found: Any = find_runner(runner, cluster)
    return curate.with_options(task_runner=found)


def say_where_the_page_is() -> None:
    """Say which server keeps the run page, or that none does."""
    if url := PREFECT_API_URL.value():  # the environment's, or that of Prefect's profile
        say(f"the run page is kept by {url}")
    else:
        say("PREFECT_API_URL is not set: the run page will not be kept; `sluice server` keeps it")


def renew_page(workspace: Workspace, run_id: str) -> Path:
    """Write the page of a run, unless it would be the same again; return where it is."""
    if is_page_fresh(workspace, run_id):
        return workspace.page_of(run_id)
    from pipeline.viewing.fixed_page import write_fixed_page  # with FastAPI, which takes a while

    page = write_fixed_page(workspace, run_id)
    keep_mark(workspace, run_id)
    return page


def show_report(state: RunState) -> None:
    """Put funnel, evidence, changes and scores on the run's page, and into the workspace."""
    workspace, run_id, name = state.run.workspace, state.run.run_id, state.recipe.name
    report = write_run_report(workspace, run_id)
    page = renew_page(workspace, run_id)
    say(f"report: {page}")
    show_page(name, run_id, page)
    show_funnel(name, run_id, funnel_rows(report.counts))
    if report.evidence is not None:
        show_evidence(name, run_id, report.evidence, report.cards["evidence"])
    if report.trial is not None:
        show_trial(name, run_id, report.trial, report.cards["trial"])
    if report.changes is not None:
        show_changes(name, run_id, report.changes, report.cards["changes"])
    place = workspace.histograms_of(run_id)
    picture = draw_score_histograms(state.run, state.pool, place)
    if picture is not None:
        place.write_bytes(picture)
        show_histograms(name, run_id, picture)
