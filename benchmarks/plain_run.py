"""A recipe run as plain calls of its stages: what benchmarks/orchestration.py compares with."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flows.begin_run import identify
from flows.recipe.check import load_recipe
from flows.recipe.schema import step_lines
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


def run_plainly(recipe_file: Path) -> None:
    """All stages up to the export, as calls."""
    recipe = load_recipe(recipe_file)
    placed = recipe.at(recipe_file.parent)
    state, sources = identify(recipe, placed)
    run = state.run
    with open_workspace(run.workspace) as con:
        start_run(con, run.run_id, recipe.stored(), "plain", {}, run.source_ids)
    ingest_sources(run.workspace, sources)
    count_ingest(run.workspace, run.run_id, run.source_ids)
    with read_workspace(run.workspace) as con:
        pool: Sequence[str] = read_pool(con, run.source_ids)
    jobs = plan_measures(run.workspace, placed.measure, pool, run.seed)
    sizes = jobs["token_counts"].measure.key()
    for job in jobs.values():
        measure_here(run.workspace, job.measure, job.ids, sizes)
    measures = {name: job.measure.key() for name, job in jobs.items()}
    scores = {each.label: score_key(each, measures) for each in recipe.scores}
    run = RunContext(run.workspace, run.run_id, run.seed, run.source_ids, measures, scores)
    for each in recipe.scores:
        score_examples(run.workspace, each, measures, pool)
    objections = partial(later_objections, settings=recipe.select, licenses=recipe.licenses)
    left = deduplicate_examples(run, recipe.dedupe, pool, objections)
    select_examples(run, recipe.select, left)
    export_selection(run, recipe.stored(), placed.measure.tokens, step_lines(recipe))


if __name__ == "__main__":
    run_plainly(Path(sys.argv[1]))
