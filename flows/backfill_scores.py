"""The flow that fills in scores of examples that came before the score did."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from prefect import flow

from flows.curate_dataset import ON_THREADS
from flows.measure_shards import measure_job
from flows.progress import counted, say
from flows.recipe.check import load_recipe
from flows.recipe.schema import Recipe
from flows.run_names import name_backfill
from pipeline.measuring.catalogue import VIEW_COLUMNS
from pipeline.progress import one_by_one
from pipeline.scoring.backfill import Backfill, BackfillError, Partition, prepare_backfill
from pipeline.scoring.stage import ScoreSettings, score_examples
from scorers.names import did_you_mean
from storage.arrivals import Period, Window
from storage.database import open_workspace
from storage.views import declare_measures
from storage.workspace import Workspace
from storage.workspace_lock import WorkspaceLock, lock_workspace


@flow(name="backfill", flow_run_name=name_backfill, task_runner=ON_THREADS, persist_result=False)
def backfill_scores(
    recipe_file: str,
    scorers: list[str],
    since: date | None = None,
    until: date | None = None,
    source: str | None = None,
    period: Period = "day",
) -> None:
    """Measure and score what is missing, a partition at a time.

    Args:
        recipe_file: path of the recipe that has the scores and the measures they read.
        scorers: names of scores in the recipe; all of them if empty.
        since: first day of arrival, UTC.
        until: last day of arrival, UTC.
        source: a pattern for the paths of sources; None: all.
        period: how long a partition is.
    """
    path = Path(recipe_file)
    recipe = load_recipe(path)
    window = Window(since, until, source, period)
    whole = prepare(recipe, path.parent, scorers, window)
    with counted("partitions") as work:
        for partition in one_by_one("backfill", whole.partitions, work.at):
            say(f"backfill: {partition}, {len(partition.ids)} rows")
            fill(whole, partition, recipe.name)


def prepare(recipe: Recipe, base: Path, scorers: Sequence[str], window: Window) -> Backfill:
    """Find what a recipe's scores lack in a window.

    Raises:
        BackfillError: if the recipe has no such score, or it cannot be filled in.
    """
    placed = recipe.at(base)
    scores = find_scores(recipe, scorers)
    workspace = Workspace(Path(placed.workspace))
    return prepare_backfill(workspace, placed.measure, scores, window, recipe.seed)


def find_scores(recipe: Recipe, names: Sequence[str]) -> list[ScoreSettings]:
    """The scores of a recipe that are named; all of them if none is."""
    known = {score.label: score for score in recipe.scores}
    for name in names:
        if name not in known:
            raise BackfillError(
                f"the recipe has no score {name!r}: add it to `scores`, and the block of `measure` "
                f"that it reads. {did_you_mean(name, known)}"
            )
    return [known[name] for name in names] or list(known.values())


def fill(whole: Backfill, partition: Partition, recipe: str) -> None:
    """Fill one partition; a run that wants the workspace comes before the next shard."""
    what, done = f"backfill of {recipe}", False
    while not done:
        with lock_workspace(whole.workspace, what, wait=True, yields=True, tell=say) as held:
            done = fill_until_wanted(whole, partition, recipe, held)
        if not done:
            say(f"{what}: makes way for a run, and goes on after it")


def fill_until_wanted(
    whole: Backfill, partition: Partition, recipe: str, held: WorkspaceLock
) -> bool:
    """Measure and score; return whether all was done."""
    with open_workspace(whole.workspace) as con:
        declare_measures(con, VIEW_COLUMNS)  # who reads between two shards finds every view
    jobs = whole.of(partition)
    sizes = jobs["token_counts"].measure.key()
    for name, job in jobs.items():
        measure_job(whole.workspace, recipe, name, job, sizes, held.wanted)
        if held.wanted():  # what is stored by now is not asked about again afterwards
            return False
    keys = {name: job.measure.key() for name, job in jobs.items()}
    for score in whole.scores:
        states = score_examples(whole.workspace, score, keys, partition.ids)
        shown = ", ".join(f"{count} {name}" for name, count in states.items())
        say(f"score: {score.label} of {partition}: {shown}")
    return True
