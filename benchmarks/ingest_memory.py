"""How much memory and time it takes to read a million rows into a workspace.

    python benchmarks/ingest_memory.py [--rows 1000000] [--out FILE]

writes short chat rows (OpenAI messages, all different but for every 100th, which repeats an earlier
one) to a temporary file, reads them into a new workspace in a process of its own, and reports rows
per second and the peak resident memory of that process, against a limit of 4 GiB. Then it reads the
same file again, which must cost its hash alone. Needs 2 GiB of disk for a million rows.

Exit code 0: every row is accounted for, and memory stayed below the limit; 1: not so.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# Run as a script, Python looks beside this file, not in the folder that the packages stand in.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.running import RESULTS, Usage, machine_facts, run_python, write_result

LIMIT_BYTES = 4 * 2**30
REPEAT_EVERY = 100
TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work number night "
    "point home water room mother area money story fact month lot right study book eye job word"
)
WORDS = TEXT.split()


def rows(count: int) -> Iterator[bytes]:
    """Lines of JSON: a question of 8 words and an answer of 24, the same for the same count."""
    rng = random.Random(0)
    for number in range(count):
        own = number_of(number)
        rng.seed(own)
        question = f"Question {own}: {' '.join(rng.choices(WORDS, k=8))}?"
        answer = f"{' '.join(rng.choices(WORDS, k=24))}."
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        yield json.dumps({"messages": messages}).encode() + b"\n"


def number_of(row: int) -> int:
    """What makes a row unlike any other; a repeating row has the number of one long before it."""
    if row % REPEAT_EVERY < REPEAT_EVERY - 1:
        return row
    half = row // 2
    return half - 1 if half % REPEAT_EVERY == REPEAT_EVERY - 1 else half


def ingest(source: Path, workspace: Path) -> None:
    """Read a source into a workspace, in this process: the call that is measured."""
    from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
    from storage.workspace import Workspace

    place = Workspace(workspace)
    ingest_sources(place, identify_sources(place, [SourceSettings(path=str(source))]))


def count(source: Path, workspace: Path) -> dict[str, int]:
    """What the workspace says it has of a source."""
    from pipeline.ingest.stage import SourceSettings, identify_sources
    from storage.database import fetch_count, read_workspace
    from storage.sources import count_occurrences, count_quarantine
    from storage.workspace import Workspace

    place = Workspace(workspace)
    sources = identify_sources(place, [SourceSettings(path=str(source))])
    ids = [one.source_id for one in sources]
    with read_workspace(place) as con:
        return {
            "occurrences": count_occurrences(con, ids),
            "quarantined": sum(count_quarantine(con, ids).values()),
            "examples": fetch_count(con, "select count(*) from examples"),
        }


def measure(row_count: int) -> dict[str, object]:
    """Write the rows, read them twice, and count what is there."""
    with tempfile.TemporaryDirectory() as directory:
        source, workspace = Path(directory) / "rows.jsonl", Path(directory) / "workspace"
        with source.open("wb") as file:
            file.writelines(rows(row_count))
        sys.stderr.write(f"{row_count:,} rows, {source.stat().st_size / 2**20:,.0f} MiB\n")
        script = Path(__file__)
        first = run_python([script, "--step", "ingest", source, workspace])
        again = run_python([script, "--step", "ingest", source, workspace])
        counted = json.loads(run_python([script, "--step", "count", source, workspace]).output)
        disk = sum(path.stat().st_size for path in workspace.rglob("*") if path.is_file())
        return {
            "rows": row_count,
            "source_bytes": source.stat().st_size,
            "workspace_bytes": disk,
            "counted": counted,
            "first": describe(first, row_count),
            "again": describe(again, row_count),
            "limit_bytes": LIMIT_BYTES,
        }


def describe(usage: Usage, row_count: int) -> dict[str, float]:
    """Figures of one process."""
    return {
        "rows_per_second": round(row_count / usage.wall_seconds),
        "wall_seconds": round(usage.wall_seconds, 2),
        "cpu_seconds": round(usage.cpu_seconds, 2),
        "peak_bytes": usage.peak_bytes,
        "peak_gib": round(usage.peak_bytes / 2**30, 3),
    }


def problems(result: dict[str, object]) -> list[str]:
    """What a result must not have: a lost row, or too much memory."""
    row_count = result["rows"]
    counted, first = result["counted"], result["first"]
    assert isinstance(row_count, int) and isinstance(counted, dict) and isinstance(first, dict)
    found = []
    if (counted["occurrences"], counted["quarantined"]) != (row_count, 0):
        found.append(f"{row_count} rows went in, but the workspace has {counted}")
    if counted["examples"] != row_count - row_count // REPEAT_EVERY:
        found.append(f"{counted['examples']} examples, not {row_count - row_count // REPEAT_EVERY}")
    if first["peak_bytes"] > LIMIT_BYTES:
        found.append(f"peak memory {first['peak_gib']} GiB is above the limit")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Memory and time of reading many rows.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "ingest_memory.json")
    parser.add_argument("--step", choices=("ingest", "count"), help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step == "ingest":
        ingest(*options.paths)
        return 0
    if options.step == "count":
        sys.stdout.write(json.dumps(count(*options.paths)))
        return 0
    result = measure(options.rows) | {"machine": machine_facts(["duckdb", "orjson", "pyarrow"])}
    write_result(options.out, result)
    sys.stdout.write(json.dumps(result["first"]) + "\n")
    found = problems(result)
    sys.stderr.write("".join(f"problem: {text}\n" for text in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
