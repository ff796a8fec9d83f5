"""A what-if on a measured pool: seconds until `sluice what-if` has answered, as a user waits.

    python benchmarks/what_if.py [--rows 1000000] [--repeats 3] [--out FILE]

A workspace is filled with rows whose conversations, token counts and five scores are made up, by
SQL of this file, since reading a million rows in through Sluice would take the longest; then one
selection is made through the select stage, and the command is run in a process of its own for each
change: a bound, a weight, a budget. What it answers is compared with what a run's walk
over the same settings chooses. Wall seconds are from the start of the process to its end.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import duckdb

from benchmarks.running import RESULTS, SLUICE, machine_facts, run_python, write_result
from flows.recipe.check import load_recipe
from flows.recipe.schema import Recipe
from pipeline.code_version import code_version
from pipeline.ingest.stage import identify_sources, ingest_sources
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import score_key
from pipeline.selection.stage import select_examples
from storage.conversations import content_hash
from storage.database import open_workspace
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.retention import write_run_measures
from storage.runs import finish_run, start_run
from storage.scores import ScoreKey
from storage.workspace import Workspace

RECIPE = """
name: what-if
workspace: workspace
target: wheel:smollm2-135m-instruct
sources: [{path: rows.jsonl}]
measure: {losses: {max_tokens: 1024}}
scores: [perplexity, entropy, ifd, grape, response_length]
select:
  held_out: 0.01
  steps:
    - {method: threshold, score: ifd, at_most: 1.0}
    - {method: threshold, score: response_length, at_least: 8}
    - method: top_k
      score: {weights: {ifd: 2, grape: 1, entropy: -1}}
      budget: {fraction: 0.1}
"""

CHANGES = {
    "bound": "select.steps.0.at_most=0.9",
    "weight": "select.steps.2.score.weights.grape=2",
    "budget": "select.steps.2.budget.fraction=0.05",
}

RATIO = "1 + 0.2 * sin((hash(example_id || $label) % 100000)::double)"
LENGTH = "1 + hash(example_id || left($label, 0)) % 200"

FILL = """
insert into short_examples
select md5(i::varchar), md5('p' || (i // 2)), '[]', '[]', 1, 'prompt ' || i, 'answer ' || i,
    'source', null
from range({rows}) t(i)
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Fill a workspace, ask, compare, write the result."""
    options = parse(argv)
    with tempfile.TemporaryDirectory() as directory:
        recipe_file = Path(directory) / "recipe.yaml"
        recipe_file.write_text(RECIPE, encoding="utf-8")
        (Path(directory) / "rows.jsonl").write_text('{"prompt": "p", "completion": "c"}\n')
        recipe = load_recipe(recipe_file)
        fill_seconds = timed(lambda: fill(recipe, Path(directory), options.rows))
        found = {
            name: ask(recipe_file, change, options.repeats) for name, change in CHANGES.items()
        }
    result: dict[str, Any] = {"rows": options.rows, "fill_seconds": fill_seconds, "changes": found}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    write_result(options.out, result | {"machine": machine_facts(["duckdb", "numpy"])})


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "what_if.json")
    return parser.parse_args(argv)


def timed(work: Callable[[], None]) -> float:
    """Seconds that a piece of work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ask(recipe: Path, change: str, repeats: int) -> dict[str, Any]:
    """Ask what one change would do; seconds of each process, and what it answered."""
    command: list[str | Path] = [*SLUICE, "what-if", recipe, "--set", change]
    runs = [run_python(command) for _ in range(repeats)]
    return {
        "change": change,
        "wall_seconds": round(statistics.median(run.wall_seconds for run in runs), 2),
        "cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 2),
        "peak_gib": round(max(run.peak_bytes for run in runs) / 2**30, 2),
        "answer": next(line for line in runs[0].output.splitlines() if "would choose" in line),
    }


def fill(recipe: Recipe, directory: Path, rows: int) -> None:
    """Make a workspace with one run that has selected from made-up rows."""
    workspace = Workspace(directory / "workspace")
    sources = identify_sources(workspace, recipe.at(directory).sources)
    source_ids = [source.source_id for source in sources]
    ingest_sources(workspace, sources)
    works = plan_measures(workspace, recipe.measure, [], recipe.seed)
    measures = {name: work.measure.key() for name, work in works.items()}
    scores = {each.label: score_key(each, measures) for each in recipe.scores}
    run_id = content_hash([recipe.stored(), source_ids, code_version()])[:12]
    with open_workspace(workspace) as con:
        start_run(con, run_id, recipe.stored(), code_version(), {}, source_ids)
        write_run_measures(con, run_id, measures)
        make_rows(con, workspace, rows, source_ids[0], (measures, scores))
    run = RunContext(workspace, run_id, recipe.seed, source_ids, measures, scores)
    with open_workspace(workspace) as con:
        pool = [row[0] for row in con.execute("select example_id from examples").fetchall()]
    select_examples(run, recipe.select, pool)
    with open_workspace(workspace) as con:
        finish_run(con, run_id)


def make_rows(
    con: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    rows: int,
    source_id: str,
    keys: tuple[dict[str, MeasureKey], dict[str, ScoreKey]],
) -> None:
    """Fill the tables with rows that differ, the same ones every time."""
    measures, scores = keys
    counts = measures["token_counts"]
    con.execute("delete from occurrences")
    con.execute("delete from short_examples")
    con.execute(FILL.format(rows=rows))
    con.execute(
        "insert into occurrences select $source, (row_number() over ())::bigint, example_id, "
        "'made up', false from examples",
        {"source": source_id},
    )
    for label, (scorer, version, settings) in scores.items():
        value = LENGTH if scorer == "response_length" else RATIO
        con.execute(
            f"insert into scores select example_id, $scorer, $version, $settings, {value}, 'ok' "
            "from examples",
            {"scorer": scorer, "version": version, "settings": settings, "label": label},
        )
    table = con.execute(
        "select example_id, $key as measure_key, 'ok' as state, '' as detail, "
        "20::bigint as prompt_tokens, (1 + hash(example_id) % 200)::bigint as response_tokens "
        "from examples",
        {"key": counts.measure_key},
    ).to_arrow_table()
    path = f"token_counts/{counts.measure_key}/made-up.parquet"
    workspace.measurements.write(path, table)
    for key in measures.values():
        add_measure(con, key)
    commit_shards(con, workspace, counts, [(path, 0.0)])


if __name__ == "__main__":
    main()
