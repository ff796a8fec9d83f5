"""Sluice's side of benchmarks/data_path.py: a recipe's stages as calls, each measured apart."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from transformers import PreTrainedTokenizerBase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows.begin_run import identify
from flows.recipe.check import load_recipe
from flows.recipe.schema import Recipe, step_lines
from pipeline.contamination.stage import check_examples
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.export.stage import export_selection
from pipeline.ingest.stage import count_ingest, ingest_sources
from pipeline.measuring.rows import tokenizer_of
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import score_examples, score_key
from pipeline.selection.run_steps import later_objections
from pipeline.selection.stage import select_examples
from scorers.measures.reading.chat_format import render_text
from storage.database import open_workspace, read_workspace
from storage.examples import read_examples, read_pool
from storage.runs import start_run

BATCH = 1_000  # texts that the bare tokenizer is given at once

taken: dict[str, float] = {}


@contextmanager
def measured(name: str) -> Iterator[None]:
    """Add the CPU-seconds of a block, of all threads, under a name."""
    started = time.process_time()
    yield
    taken[name] = taken.get(name, 0.0) + time.process_time() - started


def tokenise_alone(
    run: RunContext, pool: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> None:
    """The same texts through the tokenizer's own batches and nothing else."""
    with read_workspace(run.workspace) as con:
        for start in range(0, len(pool), BATCH):
            examples = read_examples(con, pool[start : start + BATCH])
            texts = [render_text(tokenizer, each.messages, each.tools) for each in examples]
            with measured("bare tokenizer"):
                tokenizer(texts, add_special_tokens=False)


def run(folder: Path) -> int:
    """All stages; returns how many rows were chosen in the end."""
    recipe = load_recipe(folder / "recipe.json")
    placed = recipe.at(folder)
    with measured("ingest"):
        state, sources = identify(recipe, placed)
        run = state.run
        with open_workspace(run.workspace) as con:
            start_run(con, run.run_id, recipe.stored(), "plain", {}, run.source_ids)
        ingest_sources(run.workspace, sources)
        count_ingest(run.workspace, run.run_id, run.source_ids)
        with read_workspace(run.workspace) as con:
            pool = read_pool(con, run.source_ids)
    tokens = placed.measure.tokens
    tokenizer = tokenizer_of(tokens.model)  # loaded before either side uses it
    with measured("token counts"):
        jobs = plan_measures(run.workspace, placed.measure, pool, run.seed)
        for job in jobs.values():
            measure_here(run.workspace, job.measure, job.ids, jobs["token_counts"].measure.key())
    tokenise_alone(run, pool, tokenizer)
    measures = {name: job.measure.key() for name, job in jobs.items()}
    return choose(replace(run, measures=measures), recipe, placed, pool)


def choose(run: RunContext, recipe: Recipe, placed: Recipe, pool: Sequence[str]) -> int:
    """Score, deduplicate, check, select and export; returns how many rows were chosen."""
    with measured("score"):
        scores = {each.label: score_key(each, run.measures) for each in recipe.scores}
        run = replace(run, scores=scores)
        for each in recipe.scores:
            score_examples(run.workspace, each, run.measures, pool)
    with measured("dedupe"):
        objections = partial(later_objections, settings=recipe.select, licenses=recipe.licenses)
        left = deduplicate_examples(run, recipe.dedupe, pool, objections)
    with measured("check"):
        assert placed.check is not None
        left = check_examples(run, placed.check, placed.measure.embeddings, left)
    with measured("select"):
        chosen = select_examples(run, recipe.select, left)
    with measured("export"):
        export_selection(run, recipe.stored(), placed.measure.tokens, step_lines(recipe))
    return chosen.rows


if __name__ == "__main__":
    kept = run(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"cpu_seconds": taken, "kept": kept}))
