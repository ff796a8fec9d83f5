"""A night with 1 % new rows, against the night that measured everything.

    python -m benchmarks.incremental_night

A folder of rows is run up to the export; then a file with 1 % as many new rows is added, one file
is edited (a row changed, a row removed), and the same recipe is run again in a new process. Model
time is what the tasks took, from the call of the model with its rows to the answer, loading the
model included; it is stored with each shard. The rows are those of the demo, numbered, so that
there are enough of them; the model is the embedded one.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.orchestration import RECIPE
from benchmarks.running import RESULTS, machine_facts, run_python, write_result
from recipes.build_demo_data import build
from storage.database import read_workspace
from storage.workspace import Workspace

FILES = 20


def write_rows(folder: Path, rows: int) -> None:
    """So many rows in FILES files: the demo's, each prompt with a number of its own."""
    build(folder / "demo")
    lines = (folder / "demo/stdlib.jsonl").read_bytes().splitlines()
    whole = [row for row in map(json.loads, lines) if "messages" in row]
    (folder / "rows").mkdir()
    for file in range(FILES):
        numbers = range(file * rows // FILES, (file + 1) * rows // FILES)
        write_file(folder / f"rows/{file:02}.jsonl", whole, numbers)


def write_file(path: Path, rows: Sequence[dict[str, list[dict[str, str]]]], numbers: range) -> None:
    """Rows with these numbers."""
    with path.open("w") as file:
        for number in numbers:
            row = json.loads(json.dumps(rows[number % len(rows)]))
            row["messages"][0]["content"] += f" (Question {number}.)"
            file.write(json.dumps(row) + "\n")


def change(folder: Path, rows: int) -> int:
    """The day after: new rows, one edited, one removed; returns how many are to be measured."""
    lines = (folder / "demo/stdlib.jsonl").read_bytes().splitlines()
    whole = [row for row in map(json.loads, lines) if "messages" in row]
    new = max(1, rows // 100) - 1
    write_file(folder / "rows/new.jsonl", whole, range(10 * rows, 10 * rows + new))
    edited = folder / "rows/00.jsonl"
    first, _, *rest = edited.read_text().splitlines()
    edited.write_text("\n".join([first.replace("(Question", "(Edited question"), *rest]) + "\n")
    return new + 1


def model_time(workspace: Workspace) -> dict[str, tuple[int, float]]:
    """Rows asked about and seconds that took, of each measure that asks a model."""
    query = """
        select measure, sum(rows)::bigint, sum(seconds)
        from shards join measures using (measure_key)
        where measure <> 'token_counts' group by measure order by measure
    """
    with read_workspace(workspace) as con:
        return {str(m): (int(rows), float(s)) for m, rows, s in con.execute(query).fetchall()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="A night with 1 % new rows.")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=RESULTS / "incremental_night.json")
    options = parser.parse_args(arguments)
    machine = machine_facts(["duckdb", "torch", "transformers"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, options.rows)
        recipe = folder / "recipe.yaml"
        text = RECIPE.replace("path: rows.jsonl", "path: rows").replace("dtype: float32", "")
        recipe.write_text(text.replace("192, }", "192}"))
        run = ["-m", "benchmarks.plain_run", str(recipe)]
        first = run_python(run)
        whole = model_time(Workspace(folder / "work"))
        expected = change(folder, options.rows)
        second = run_python(run)
        after = model_time(Workspace(folder / "work"))
    asked = {name: after[name][0] - rows for name, (rows, _) in whole.items()}
    added = {name: after[name][1] - seconds for name, (_, seconds) in whole.items()}
    share = sum(added.values()) / sum(seconds for _, seconds in whole.values())
    result = {
        "machine": machine,
        "rows": options.rows,
        "new_or_edited_rows": expected,
        "rows_asked_about": asked,
        "model_seconds_of_all": {name: round(s, 2) for name, (_, s) in whole.items()},
        "model_seconds_of_the_new": {name: round(s, 2) for name, s in added.items()},
        "share_of_model_time": round(share, 4),
        "share_of_cpu_time": round(second.cpu_seconds / first.cpu_seconds, 4),
        "wall_seconds": [round(first.wall_seconds, 1), round(second.wall_seconds, 1)],
    }
    write_result(options.out, result)
    return 0 if all(rows == expected for rows in asked.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
