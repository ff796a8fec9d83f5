"""The table of `sluice view` on a million rows: how long each page takes, on one core.

    python benchmarks/view_table.py [--rows 1000000] [--workspace DIR] [--out FILE]

The workspace is the one that benchmarks/what_if.py makes: rows, token counts and five scores that
are made up, and a selection by the select stage. Pages are asked of the application in this
process, so that the time is the server's: from the request to the whole page. CPU-seconds are told,
for a machine that does other things would be measured with them. The first page joins
what the workspace knows of the rows, once for each run; it is told apart.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlette.testclient import TestClient

from benchmarks.running import RESULTS, machine_facts, write_result
from benchmarks.what_if import RECIPE, fill
from flows.recipe.check import load_recipe
from pipeline.viewing.app import make_app
from pipeline.viewing.opened_run import Viewer
from storage.workspace import Workspace

PAGES = {
    "by rank": "/rows?page={n}",
    "by a score": "/rows?sort=ifd&page={n}",
    "by the least of a score": "/rows?sort=-grape&page={n}",
    "of a reason": "/rows?reason=over_budget&sort=entropy&page={n}",
    "between bounds": "/rows?min.ifd=0.9{n}&max.perplexity=1.1&sort=perplexity",
    "that a step kept": "/rows?kept_by=7003&page={n}",
    "of an id": "/rows?start=c{n}",
    "far behind": "/rows?sort=ifd&page=100{n}",
}
"""What is looked at → its address; each is asked with several n."""

TEXT = "/rows?text=prompt+12345{n}"


def main(argv: Sequence[str] | None = None) -> None:
    """Open the pages one after another, and write how long each took."""
    options = parse(argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before DuckDB counts the cores
    with tempfile.TemporaryDirectory() as folder:
        workspace = options.workspace or make_workspace(Path(folder), options.rows)
        result = measure(Workspace(workspace), options.repeats)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    write_result(options.out, result | {"machine": machine_facts(["duckdb", "fastapi"])})


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=8, help="of each page")
    parser.add_argument("--workspace", type=Path, help="one that was made before")
    parser.add_argument("--out", type=Path, default=RESULTS / "view_table.json")
    return parser.parse_args(argv)


def make_workspace(folder: Path, rows: int) -> Path:
    """A workspace of so many rows with a selection."""
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "rows.jsonl").write_text('{"prompt": "p", "completion": "c"}\n')
    fill(load_recipe(folder / "recipe.yaml"), folder, rows)
    return folder / "workspace"


def measure(workspace: Workspace, repeats: int) -> dict[str, Any]:
    """Seconds of the first page, and of each kind of page after it."""
    app = make_app(Viewer(workspace), "token", ["here:1"])
    client = TestClient(app, base_url="http://here:1")
    first = cpu_seconds_of(client, "/rows?token=token")
    pages = {
        name: [cpu_seconds_of(client, path.format(n=n)) for n in range(1, repeats + 1)]
        for name, path in PAGES.items()
    }
    text = [cpu_seconds_of(client, TEXT.format(n=n)) for n in range(3)]
    every = [each for times in pages.values() for each in times]
    return {
        "first_page_cpu_seconds": round(first, 2),
        "pages": len(every),
        "median_cpu_seconds": round(statistics.median(every), 3),
        "p95_cpu_seconds": round(statistics.quantiles(every, n=20)[-1], 3),
        "median_cpu_seconds_of": {k: round(statistics.median(v), 3) for k, v in pages.items()},
        "new_text_cpu_seconds": round(statistics.median(text), 3),
    }


def cpu_seconds_of(client: TestClient, path: str) -> float:
    """How many CPU-seconds a page takes: on one core that is how long, with nobody else there."""
    started = time.process_time()
    answer = client.get(path)
    seconds = time.process_time() - started
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
    return seconds


if __name__ == "__main__":
    main()
