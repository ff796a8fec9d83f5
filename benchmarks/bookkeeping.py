"""What measuring costs besides the model: time and memory as rows grow, a stub for the model.

    python benchmarks/bookkeeping.py [--rows 250000 1000000] [--out FILE]

Rows are ingested, cut into shards, measured by a stub that makes losses up from the text, committed
and merged, through the same functions as a run's. Each size has a process of its own; what is
reported is its largest resident set while it measures, and seconds for a thousand rows. A shard of
the real thing takes a minute of a model's time.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa

from benchmarks.running import RESULTS, machine_facts, run_python, write_result
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring.measure import ExampleInputs
from pipeline.measuring.measures.losses import FIELDS
from pipeline.measuring.rows import STATE_FIELDS
from pipeline.measuring.shard_work import measure_shard
from pipeline.measuring.shards import commit_measured, cut_shards
from pipeline.settings import Settings
from storage.database import open_workspace, read_workspace
from storage.examples import read_pool
from storage.measurements import MeasureKey
from storage.workspace import Workspace

TOKENS = 60
"""Of each response, as in Alpaca."""


class StubLosses(Settings, ExampleInputs):
    """Losses of made-up size, as many as real ones and stored as they are."""

    def key(self) -> MeasureKey:
        """Of no model."""
        return MeasureKey("losses", "stub", "stub", "", {"version": 1})

    def measure(self, examples: pa.Table) -> pa.Table:
        """Noise for every token; the mean is the first number of the id."""
        n = len(examples)
        ids = examples["example_id"].combine_chunks()
        noise = np.random.default_rng(int(ids[0].as_py()[:8], 16)).random(n * TOKENS, dtype="f4")
        offsets = pa.array(np.arange(n + 1, dtype=np.int32) * TOKENS)
        losses = pa.ListArray.from_arrays(offsets, pa.array(noise))
        hits = pa.ListArray.from_arrays(offsets, pa.array(noise < 0.5))
        filled: dict[str, Any] = {
            "example_id": ids,
            "state": pa.array(["ok"] * n),
            "detail": pa.array([""] * n),
            "mean_nll": pa.array([int(i[:4], 16) / 65536 for i in ids.to_pylist()]),
        }
        for field in FIELDS:
            if field.type == pa.list_(pa.float32()) and field.name != "vector":
                filled[field.name] = losses
            elif field.type == pa.list_(pa.bool_()):
                filled[field.name] = hits
        schema = pa.schema([*STATE_FIELDS, *FIELDS])
        return pa.table(
            [filled.get(field.name, pa.nulls(n, field.type)) for field in schema], schema=schema
        )


def write_rows(path: Path, rows: int) -> None:
    """Rows of Alpaca's size, no two alike."""
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "then"]
    draw = np.random.default_rng(0)
    with path.open("w") as file:
        for row in range(rows):
            picked = [words[i] for i in draw.integers(0, len(words), 70)]
            line = {
                "prompt": " ".join(picked[:20]),
                "completion": f"{row} {' '.join(picked[20:])}",
            }
            file.write(json.dumps(line) + "\n")


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_rows(directory: Path) -> dict[str, float]:
    """Cut, measure and commit all rows of a workspace that is there."""
    workspace = Workspace(directory)
    with read_workspace(workspace) as con:
        sources = [row[0] for row in con.execute("select source_id from sources").fetchall()]
        pool = read_pool(con, sources)
    before = peak_bytes()
    started = time.perf_counter()
    cut = cut_shards(workspace, StubLosses(), pool)
    shards = 0
    for shard in cut:
        commit_measured(workspace, StubLosses(), [measure_shard(shard)])
        shards += 1
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    cut_shards(workspace, StubLosses(), pool)
    again = time.perf_counter() - started
    with open_workspace(workspace) as con:
        (found,) = con.execute("select count(*), count(distinct example_id) from losses").fetchall()
        (files,) = con.execute("select count(*) from shards").fetchall()
    assert found == (len(pool), len(pool)), found
    return {
        "rows": len(pool),
        "shards": shards,
        "files": files[0],
        "seconds_per_1000_rows": round(1000 * seconds / len(pool), 3),
        "seconds_to_find_nothing_missing": round(again, 2),
        "peak_gib_with_the_ids_read": round(before / 2**30, 2),
        "peak_gib_measured": round(peak_bytes() / 2**30, 2),
    }


def ingest(directory: Path, rows: int) -> None:
    """A workspace with so many examples."""
    file = directory / "rows.jsonl"
    write_rows(file, rows)
    workspace = Workspace(directory / "w")
    ingest_sources(workspace, identify_sources(workspace, [SourceSettings(path=str(file))]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="What measuring costs besides the model.")
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=RESULTS / "bookkeeping.json")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        sys.stdout.write(json.dumps(measure_rows(options.measure)))
        return 0
    machine = machine_facts(["duckdb", "pyarrow"])
    sizes = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as directory:
            ingest(Path(directory), rows)
            usage = run_python([__file__, "--measure", Path(directory) / "w"])
        sizes.append(json.loads(usage.output))
        sys.stderr.write(f"{json.dumps(sizes[-1])}\n")
    write_result(options.out, {"sizes": sizes, "machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
