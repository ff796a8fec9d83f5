"""The flow that asks again what failed: rows of measures, and replies to makers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from prefect import flow

from flows.backfill_scores import find_scores
from flows.begin_run import identify
from flows.curate_dataset import ON_THREADS
from flows.measure_shards import measure_job
from flows.progress import counted, say
from flows.recipe.adapters import place_adapters
from flows.recipe.check import load_recipe
from flows.recipe.schema import Recipe
from flows.run_names import name_retry
from flows.stages import sending
from pipeline.generation.make import repair_key
from pipeline.generation.retry import FailedReplies, ask_failed_again, find_failed_replies
from pipeline.measuring.measure import Repairs
from pipeline.measuring.retry import FailedMeasures, find_failed_rows, forget_made_of_failed
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings, find_scorer, measure_names, score_examples
from storage.database import read_workspace
from storage.measurement_details import Detail, read_details
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace


class NothingFailedError(ValueError):
    """There is nothing to ask again."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Retry:
    """What is to be asked again."""

    run: RunContext
    scores: Sequence[ScoreSettings]
    makers: Sequence[FailedReplies]
    """Of each maker that has any."""
    measures: FailedMeasures


@dataclass(frozen=True, slots=True)
class Retried:
    """What came of one measure or maker."""

    what: str
    asked: int
    ok: int
    left: Sequence[Detail]
    """Why the others are still without an answer."""


@flow(name="retry", flow_run_name=name_retry, task_runner=ON_THREADS, persist_result=False)
def retry_rows(recipe_file: str, scorers: list[str], reason: str = "") -> list[Retried]:
    """Ask again what failed, and score what came of it.

    Args:
        recipe_file: path of the recipe.
        scorers: names of scores in the recipe, whose measures are meant; all measures and
            generators if empty.
        reason: a text that the reasons have in them; empty: any reason.
    """
    path = Path(recipe_file)
    recipe = load_recipe(path)
    retried: list[Retried] = []
    workspace = Workspace(Path(recipe.at(path.parent).workspace))
    with lock_workspace(workspace, f"retry of {recipe.name}", wait=True, tell=say):
        found = find_failed(recipe, path.parent, scorers, reason)
        retried += [retry_maker(found.run, failed, reason) for failed in found.makers]
        for name, rows in found.measures.rows.items():
            measure_job(workspace, recipe.name, name, rows.job, found.measures.sizes)
            retried.append(count_retried(found, name))
        score_again(found, retried)
    return retried


def find_failed(recipe: Recipe, base: Path, scorers: Sequence[str], reason: str) -> Retry:
    """Find what failed under a recipe, of the measures of some scores or of all it asks.

    Raises:
        NothingFailedError: if nothing did, for such a reason.
        BackfillError: if the recipe has no such score.
        MissingModelError: if a server cannot be asked, or does not serve the model.
    """
    scores = find_scores(recipe, scorers)
    placed = recipe.with_target().at(base)
    run = identify(recipe.with_target(), base)[0].run
    blocks = place_adapters(run.workspace, placed.generate, recipe.name)
    made = repair_key(blocks, run.seed)
    repairs = Repairs(made, run.source_ids) if made else None
    read = {name for each in scores for name in measure_names(each)}
    names = read if scorers else placed.measure.names()
    measures = find_failed_rows(run.workspace, placed.measure, names, run.seed, repairs, reason)
    asked = [find_failed_replies(run, each, reason) for each in (() if scorers else blocks)]
    makers = [each for each in asked if each.count]
    if not makers and not measures.rows:
        told = f" with {reason!r} in its reason" if reason else ""
        raise NothingFailedError(
            f"nothing has failed{told} of what is asked for: `sluice sql 'select measure, state, "
            f"detail, count(*) from measurements group by all' -w {run.workspace.directory}` "
            "shows the states of all rows"
        )
    return Retry(run, scores, makers, measures)


def retry_maker(run: RunContext, failed: FailedReplies, reason: str) -> Retried:
    """Ask again what a maker lacks; its rows enter the pool with the next run."""
    with counted("calls") as work:
        left = ask_failed_again(run, failed, reason, work.at, sending(failed.settings))
    ok = max(0, failed.count - left.count)
    return Retried(failed.settings.method, failed.count, ok, left.reasons)


def count_retried(found: Retry, name: str) -> Retried:
    """What came of a measure's rows."""
    rows = found.measures.rows[name].job.ids
    with read_workspace(found.run.workspace) as con:
        left = read_details(con, found.measures.keys[name], rows)
    return Retried(name, len(rows), len(rows) - sum(each.rows for each in left), left)


def score_again(found: Retry, retried: Sequence[Retried]) -> None:
    """Score the rows that were asked again; what compares a whole pool waits for the next run."""
    workspace, keys = found.run.workspace, found.measures.keys
    for score in found.scores:
        names, scorer = measure_names(score), find_scorer(score.scorer)
        rows = {
            i for name in names if (each := found.measures.rows.get(name)) for i in each.job.ids
        }
        known = all(name in keys for name in names)
        if rows and known and not (scorer.whole_pool or scorer.targets):
            score_examples(workspace, score, keys, sorted(rows))
    mended = [keys[each.what] for each in retried if each.ok and each.what in keys]
    if forget_made_of_failed(workspace, mended):
        say("retry: what was made of these rows with the whole pool is made anew by the next run")
