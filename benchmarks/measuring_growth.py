"""Time per row as the rows grow, and the cost of six scores over one: the whole measure stage.

    SLUICE_REAL_DATA=DIR python benchmarks/measuring_growth.py [--rows 1000 4000 9000] [--layers 1]

Alpaca rows are measured through the stage's own functions (cut, ask, commit) with a copy of the
model that has its first layer only, so that what grows would show beside the model. Then one score
and six are made of the same measurements.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.plan_accuracy import do
from benchmarks.real_rows import ALPACA, alpaca_rows, real_data
from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.stage import plan_measures
from pipeline.scoring.stage import ScoreSettings, score_examples
from scorers.measures.models.loading import resolve_model
from storage.database import read_workspace
from storage.examples import read_pool
from storage.workspace import Workspace

MODEL = "wheel:smollm2-135m-instruct"
SCORES = ("perplexity", "ifd", "ifd_perplexity", "grape", "entropy", "response_length")


def measure_rows(rows: Sequence[dict[str, str]], model: str, directory: Path) -> dict[str, Any]:
    """Measure rows in a fresh workspace, then score them once and six times."""
    file, workspace = directory / "rows.jsonl", Workspace(directory / "w")
    file.write_text("\n".join(json.dumps(row) for row in rows))
    sources = identify_sources(workspace, [SourceSettings(path=str(file))])
    ingest_sources(workspace, sources)
    with read_workspace(workspace) as con:
        pool = read_pool(con, [source.source_id for source in sources])
    asked = {"tokens": {"model": model}, "losses": {"model": model, "dtype": "float32"}}
    jobs = plan_measures(workspace, MeasureSettings.model_validate(asked), pool, 0)
    sizes = jobs["token_counts"].measure.key()
    counting = do(workspace, jobs["token_counts"], None)
    losses = do(workspace, jobs["losses"], sizes)
    keys = {name: job.measure.key() for name, job in jobs.items()}
    scoring = []
    for scorer in SCORES:
        started = time.perf_counter()
        score_examples(workspace, ScoreSettings(scorer=scorer), keys, pool)
        scoring.append(time.perf_counter() - started)
    one = counting + losses + scoring[0]
    return {
        "rows": len(pool),
        "losses_ms_per_row": round(1000 * losses / len(pool), 2),
        "counting_ms_per_row": round(1000 * counting / len(pool), 3),
        "six_scores_over_one": round((one + sum(scoring[1:])) / one, 4),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Time per row as the rows grow.")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 4000, 9000])
    parser.add_argument("--layers", type=int, default=1, help="of the model; default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "measuring_growth.json")
    options = parser.parse_args(arguments)
    data = real_data(ALPACA)
    if data is None:
        return 0
    machine = machine_facts(["torch", "duckdb"])
    model = str(resolve_model(MODEL, options.layers).path)
    sizes = []
    for count in options.rows:
        with tempfile.TemporaryDirectory() as directory:
            sizes.append(measure_rows(alpaca_rows(data, count), model, Path(directory)))
        sys.stderr.write(f"{json.dumps(sizes[-1])}\n")
    write_result(options.out, {"layers": options.layers, "sizes": sizes, "machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
