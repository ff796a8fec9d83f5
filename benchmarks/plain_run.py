"""A recipe run as plain calls of its stages: what benchmarks/orchestration.py compares with."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from flows.begin_run import identify
from flows.recipe.check import load_recipe
from flows.recipe.schema import Recipe, step_lines
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.export.stage import export_selection
from pipeline.ingest.stage import count_ingest, ingest_sources
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import score_examples, score_key
from pipeline.selection.run_steps import later_objections
from pipeline.selection.stage import select_examples
from storage.database import open_workspace, read_workspace
from storage.examples import read_pool
from storage.runs import start_run


def ingest_plainly(recipe: Recipe, base: Path) -> tuple[RunContext, list[str]]:
    """Begin a run and read its sources; the run, and its pool."""
    state, sources = identify(recipe, base)
    run = state.run
    with open_workspace(run.workspace) as con:
        start_run(con, run.run_id, recipe.stored(), "plain", {}, run.source_ids)
    ingest_sources(run.workspace, sources)
    count_ingest(run.workspace, run.run_id, run.source_ids)
    with read_workspace(run.workspace) as con:
        return run, read_pool(con, run.source_ids)


def measure_plainly(run: RunContext, placed: Recipe, pool: Sequence[str]) -> RunContext:
    """Measure what the recipe asks for; the run with the keys of that."""
    jobs = plan_measures(run.workspace, placed.measure, pool, run.seed)
    sizes = jobs["token_counts"].measure.key()
    for job in jobs.values():
        measure_here(run.workspace, job.measure, job.ids, sizes)
    return replace(run, measures={name: job.measure.key() for name, job in jobs.items()})


def score_plainly(run: RunContext, recipe: Recipe, pool: Sequence[str]) -> RunContext:
    """Make the recipe's scores; the run with the keys of those."""
    for each in recipe.scores:
        score_examples(run.workspace, each, run.measures, pool)
    scores = {each.label: score_key(each, run.measures) for each in recipe.scores}
    return replace(run, scores=scores)


def dedupe_plainly(run: RunContext, recipe: Recipe, pool: Sequence[str]) -> list[str]:
    """Remove copies; what is left."""
    objections = partial(later_objections, settings=recipe.select, licenses=recipe.licenses)
    return deduplicate_examples(run, recipe.dedupe, pool, objections)


def run_plainly(recipe_file: Path) -> None:
    """All stages up to the export, as calls."""
    recipe = load_recipe(recipe_file)
    placed = recipe.at(recipe_file.parent)
    run, pool = ingest_plainly(recipe, recipe_file.parent)
    run = score_plainly(measure_plainly(run, placed, pool), recipe, pool)
    select_examples(run, recipe.select, dedupe_plainly(run, recipe, pool))
    export_selection(run, recipe.stored(), placed.measure.tokens, step_lines(recipe))


if __name__ == "__main__":
    run_plainly(Path(sys.argv[1]))
