"""What orchestration costs: the same recipe through the flow, and as plain calls of its stages.

    python -m benchmarks.orchestration

Both in processes of their own, one after the other, several times in turns, on fresh workspaces:
the flow with all that belongs to it (tasks, artifacts, events, progress, a Prefect server of its
own), and the stages called without Prefect. The rows are those of the demo, cut to what takes about
two minutes; the model is the embedded one. The time to the first line of work is measured as well,
with a server that runs already and without any.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kill_anywhere import prefect_server
from benchmarks.running import RESULTS, SLUICE, THREADS, machine_facts, write_result

TURNS = 3

RECIPE = """
name: overhead
workspace: work
seed: 7
target: wheel:smollm2-135m-instruct
sources: [{path: rows.jsonl}]
tolerated_bad_rows: 0.5
measure:
  tokens: {max_tokens: 192}
  losses: {max_tokens: 192, dtype: float32}
  embeddings: [{of: both}]
scores: [perplexity, ifd, grape, response_length]
dedupe: [{method: minhash, keep: grape}]
select:
  steps: [{method: diverse, score: ifd, max_similarity: 0.8, budget: {fraction: 0.3}}]
"""


def write_recipe(folder: Path, rows: int) -> Path:
    """The demo's rows, the first of them, and a recipe with a workspace of its own."""
    from recipes.build_demo_data import build

    build(folder / "input")
    lines = (folder / "input/stdlib.jsonl").read_bytes().splitlines()[:rows]
    (folder / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    return recipe


def timed(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds to the first line of work, and to the end."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    first = 0.0
    for line in process.stderr:
        if line.startswith("run ") and not first:
            first = time.perf_counter() - started
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    return first, time.perf_counter() - started


def measure(recipe: Path, environment: dict[str, str]) -> dict[str, list[tuple[float, float]]]:
    """The times of each way, on fresh workspaces, in turns."""
    folder = recipe.parent
    plain = {name: value for name, value in environment.items() if name != "PREFECT_API_URL"}
    flow = [sys.executable, *SLUICE]
    ways = {
        "plain": ([sys.executable, "-m", "benchmarks.plain_run"], plain),
        "flow, with a server": ([*flow, "export"], environment),
        "flow, without a server": ([*flow, "export"], plain),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, (command, given) in ways.items():
            shutil.rmtree(folder / "work", ignore_errors=True)
            times[name].append(timed([*command, str(recipe)], folder, given))
            sys.stderr.write(f"{turn + 1}: {name}: {times[name][-1][1]:.1f} s\n")
    return times


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="What orchestration costs.")
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--out", type=Path, default=RESULTS / "orchestration.json")
    options = parser.parse_args(arguments)
    machine = machine_facts(["prefect", "duckdb", "torch"])
    with tempfile.TemporaryDirectory() as name:
        recipe = write_recipe(Path(name), options.rows)
        (Path(name) / "home").mkdir()
        with prefect_server(Path(name) / "home") as server:
            root = str(Path(__file__).parent.parent)
            given = {**server.environment, "PYTHONPATH": root, "OMP_NUM_THREADS": str(THREADS)}
            times = measure(recipe, given)
    median = {name: statistics.median(total for _, total in each) for name, each in times.items()}
    result = {
        "machine": machine,
        "rows": options.rows,
        "turns": TURNS,
        "seconds": {name: [round(t, 1) for _, t in each] for name, each in times.items()},
        "median_seconds": {name: round(value, 1) for name, value in median.items()},
        "added_by_the_flow_with_a_server": round(
            median["flow, with a server"] / median["plain"] - 1, 3
        ),
        "seconds_to_the_first_line_of_work": {
            name: round(statistics.median(first for first, _ in each), 1)
            for name, each in times.items()
            if name != "plain"
        },
    }
    write_result(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
