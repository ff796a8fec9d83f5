"""A workspace to look at, made by the stages: a run with copies, bounds, a budget and controls.

One of its rows is hostile: markup, a script, an escape of a terminal, a right-to-left override, and
more characters than a page can show.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.recipe.check import load_recipe
from flows.recipe.schema import Recipe
from pipeline.dedupe.minhash import MinHash
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.ingest.stage import count_ingest
from pipeline.run_context import RunContext
from pipeline.selection.stage import select_examples
from storage.database import open_workspace, read_workspace
from storage.examples import read_examples
from storage.retention import write_run_measures
from storage.runs import finish_run, start_run
from tests.stage_runner import count_words, score, start, store_measurement

RECIPE = """
name: looked-at
workspace: w
seed: 3
target: wheel:smollm2-135m-instruct
sources: [{path: rows.jsonl, license: MIT}]
measure: {embeddings: [{of: both}], language: {of: both}}
scores: [response_length, type_token_ratio]
dedupe: [{method: minhash, text: both, threshold: 0.6}]
select:
  held_out: 0.1
  sensitivity: false
  steps:
    - {method: threshold, score: response_length, at_most: 20}
    - {method: top_k, score: response_length, budget: {rows: 6}}
"""

SCRIPT = '<script>document.title="taken"</script><img src=x onerror=alert(1)>'
HOSTILE = f"{SCRIPT}\x1b[31mred\u202eesrever\u200b{{{{ 7 * 7 }}}} "
LONG = HOSTILE + "a " * (19 - len(HOSTILE.split())) + "a" * 60_000
"""Of twenty words, as many as the longest that the bounds leave: it is chosen, unless held out."""

STORY = "the quick brown fox jumps over the lazy dog and runs far away into the dark"
"""Of fifteen words, so that a row that ends otherwise is a copy still."""


def source_rows() -> list[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = [
        {"prompt": f"Question {n}?", "completion": " ".join(f"w{n}x{m}" for m in range(n + 1))}
        for n in range(26)
    ]
    rows += [
        {"prompt": "Tell a story", "completion": f"{STORY} wood"},
        {"prompt": "Tell a story", "completion": f"{STORY} forest"},
        {"prompt": HOSTILE, "completion": LONG},
        {"prompt": "no answer"},
    ]
    return rows


def view_workspace(folder: Path) -> tuple[Path, RunContext, Recipe]:
    """The recipe's file, the run and the recipe; the workspace is `folder/w`."""
    lines = [json.dumps(row) for row in [*source_rows(), {"nothing": "known"}]]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)
    recipe = load_recipe(path)
    run, pool = start(folder / "w", [folder / "rows.jsonl"], seed=recipe.seed, run_id="ingest")
    run = replace(run, run_id="seen")
    with open_workspace(run.workspace) as con:
        start_run(con, run.run_id, recipe.stored(), "code", {}, run.source_ids)
        con.execute("update sources set license = 'MIT'")
        con.execute("delete from runs where run_id = 'ingest'")
    count_ingest(run.workspace, run.run_id, run.source_ids)
    run = with_vectors(count_words(run, pool), pool)
    for settings in recipe.scores:
        run = score(run, settings, pool)
    left = deduplicate_examples(run, [MinHash(method="minhash", text="both", threshold=0.6)], pool)
    select_examples(run, recipe.select, left)
    with open_workspace(run.workspace) as con:
        write_run_measures(con, run.run_id, run.measures)
        finish_run(con, run.run_id)
    return path, run, recipe


def with_vectors(run: RunContext, pool: list[str]) -> RunContext:
    """The run with embeddings on a circle, by the length of the response, and with languages."""
    with read_workspace(run.workspace) as con:
        lengths = [len(each.response.split()) for each in read_examples(con, pool)]
    vectors = [[float(np.cos(n / 30)), float(np.sin(n / 30))] for n in lengths]
    columns = {
        "state": pa.array(["ok"] * len(pool)),
        "embedding": pa.array(vectors, pa.list_(pa.float32())),
        "chunks": pa.array([1] * len(pool), pa.int64()),
    }
    run = store_measurement(run, "embeddings", pool, columns)
    languages = {
        "state": pa.array(["ok"] * len(pool)),
        "language": pa.array(["en" if n % 2 else "de" for n in lengths]),
        "confidence": pa.array([0.9] * len(pool)),
    }
    run = store_measurement(run, "language", pool, languages)
    measures = {**run.measures, "embeddings_both": run.measures["embeddings"]}
    del measures["embeddings"]
    return replace(run, measures=measures)
