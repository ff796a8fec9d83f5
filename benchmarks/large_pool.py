"""Five million rows from a file to an export: the memory that takes, and the CPU-seconds.

    python benchmarks/large_pool.py [--rows 5000000] [--out FILE]

Short rows (a question of 4 words, an answer of 8, each with its number) are read through the
ingest stage, scored, drawn from at random and exported, each through Sluice's own stage in one
process. Token counts are not taken of them, which is a tokenizer's work, shard by shard, and is
measured by `data_path.py`: SQL of this file makes them up. Reported are the CPU-seconds of each
stage and the largest resident set up to its end.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.plain_run import ingest_plainly, score_plainly
from benchmarks.running import RESULTS, machine_facts, write_result
from flows.begin_run import collect_seldom
from flows.recipe.check import load_recipe
from flows.recipe.schema import step_lines
from pipeline.export.stage import export_selection
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.selection.stage import select_examples
from storage.database import open_workspace
from storage.measurements import MeasureKey, add_measure, commit_shards

WORDS = 2_000
AT_ONCE = 100_000  # rows written together, and examples of a shard

RECIPE = {
    "name": "large",
    "workspace": "work",
    "target": "wheel:smollm2-135m-instruct",
    "sources": [{"path": "rows.jsonl"}],
    "scores": ["response_length"],
    "select": {"steps": [{"method": "random", "budget": {"fraction": 0.1}}]},
}

COUNTS = """
select example_id, $key as measure_key, 'ok' as state, '' as detail,
    20::bigint as prompt_tokens, (1 + hash(example_id) % 20)::bigint as response_tokens,
    [20 + response_tokens] as turn_reads, [response_tokens] as turn_tokens,
    ['in_place'] as placements, []::varchar[] as unwritten, 0::bigint as unstopped
from examples order by example_id limit $rows offset $first
"""

taken: dict[str, dict[str, float]] = {}


@contextmanager
def measured(name: str) -> Iterator[None]:
    """The CPU-seconds of a block, and the peak of the process up to its end."""
    started = time.process_time()
    yield
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    taken[name] = {
        "cpu_seconds": round(time.process_time() - started, 1),
        "peak_gib": round(peak / 2**30, 2),
    }
    sys.stderr.write(f"{name}: {json.dumps(taken[name])}\n")


def write_rows(path: Path, count: int) -> None:
    """Lines of JSON; the number makes each row another."""
    drawn = random.Random(0)
    words = [f"word{n}" for n in range(WORDS)]
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, count, AT_ONCE):
            rows = range(first, min(first + AT_ONCE, count))
            several = [" ".join(drawn.choices(words, k=6)) for _ in range(1_000)]
            file.writelines(
                f'{{"messages":[{{"role":"user","content":"{several[n % 997]} {n}?"}},'
                f'{{"role":"assistant","content":"{several[n % 991]} {n}."}}]}}\n'
                for n in rows
            )


def make_counts(run: RunContext, key: MeasureKey, rows: int) -> None:
    """Token counts of all examples, as shards that a worker would have left."""
    shards = []
    with open_workspace(run.workspace) as con:
        add_measure(con, key)
        for first in range(0, rows, AT_ONCE):
            asked = {"key": key.measure_key, "rows": AT_ONCE, "first": first}
            path = f"token_counts/{key.measure_key}/made-up-{first}.parquet"
            run.workspace.measurements.write(path, con.execute(COUNTS, asked).to_arrow_table())
            shards.append((path, 0.0))
        commit_shards(con, run.workspace, key, shards)


def go(folder: Path, rows: int) -> int:
    """All stages; returns how many rows were chosen."""
    collect_seldom()  # as a run does
    recipe = load_recipe(folder / "recipe.json")
    placed = recipe.at(folder)
    with measured("ingest"):
        run, pool = ingest_plainly(recipe, folder)
    jobs = plan_measures(run.workspace, placed.measure, [], run.seed)
    keys = {name: job.measure.key() for name, job in jobs.items()}
    with measured("token counts, made up"):
        make_counts(run, keys["token_counts"], len(pool))
    with measured("score"):
        run = score_plainly(
            RunContext(run.workspace, run.run_id, run.seed, run.source_ids, keys, {}), recipe, pool
        )
    with measured("select"):
        chosen = select_examples(run, recipe.select, pool)
    with measured("export"):
        export_selection(run, recipe.stored(), placed.measure.tokens, step_lines(recipe))
    assert len(pool) == rows
    return chosen.rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Five million rows from a file to an export.")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "large_pool.json")
    options = parser.parse_args(arguments)
    machine = machine_facts(["duckdb", "pyarrow", "numpy"])
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        write_rows(folder / "rows.jsonl", options.rows)
        (folder / "recipe.json").write_text(json.dumps(RECIPE))
        kept = go(folder, options.rows)
        workspace = sum(f.stat().st_size for f in (folder / "work").rglob("*") if f.is_file())
    result: dict[str, Any] = {"rows": options.rows, "stages": taken, "kept": kept}
    result["workspace_gib"] = round(workspace / 2**30, 2)
    write_result(options.out, result | {"machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
