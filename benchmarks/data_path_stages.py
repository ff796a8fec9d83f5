"""Sluice's side of benchmarks/data_path.py: a recipe's stages as calls, each measured apart."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from transformers import PreTrainedTokenizerBase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.plain_run import dedupe_plainly, ingest_plainly, measure_plainly, score_plainly
from flows.begin_run import collect_seldom
from flows.recipe.check import load_recipe
from flows.recipe.schema import step_lines
from pipeline.contamination.stage import check_examples
from pipeline.export.stage import export_selection
from pipeline.measuring.rows import tokenizer_of
from pipeline.run_context import RunContext
from pipeline.selection.stage import select_examples
from scorers.measures.reading.chat_format import render_text
from storage.database import read_workspace
from storage.examples import read_examples

BATCH = 1_000  # texts that the bare tokenizer is given at once
READ_ROWS = 10_000  # whose texts are in memory for it
BARE_ROWS = 100_000  # that it is given at most; of more its time is counted up

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
    some = pool[:BARE_ROWS]  # a pool is in the order of hashes: the first rows are any rows
    with read_workspace(run.workspace) as con:
        for first in range(0, len(some), READ_ROWS):
            examples = read_examples(con, some[first : first + READ_ROWS])
            texts = [render_text(tokenizer, each.messages, each.tools) for each in examples]
            with measured("bare tokenizer"):
                for start in range(0, len(texts), BATCH):
                    tokenizer(texts[start : start + BATCH], add_special_tokens=False)
    taken["bare tokenizer"] *= len(pool) / len(some)


def run(folder: Path) -> int:
    """All stages; returns how many rows were chosen in the end."""
    collect_seldom()  # as a run does
    recipe = load_recipe(folder / "recipe.json")
    placed = recipe.at(folder)
    with measured("ingest"):
        run, pool = ingest_plainly(recipe, folder)
    tokenizer = tokenizer_of(placed.measure.tokens.model)  # loaded before either side uses it
    with measured("token counts"):
        run = measure_plainly(run, placed, pool)
    tokenise_alone(run, pool, tokenizer)
    with measured("score"):
        run = score_plainly(run, recipe, pool)
    with measured("dedupe"):
        left = dedupe_plainly(run, recipe, pool)
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
