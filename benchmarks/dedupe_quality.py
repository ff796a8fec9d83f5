"""Near-duplicates: Sluice's search against rensa alone, on the same rows, in the same run.

    SLUICE_REAL_DATA=DIR python benchmarks/dedupe_quality.py [--repeats 5] [--seed 0] [--out FILE]

DIR/instruct/alpaca_9k.json holds Alpaca rows (instruction, input, output). Without it there is
nothing to measure: the command says so and ends with exit code 0, and no result is written.

What is measured, with the same word 5-grams for all and a threshold of J = 0.7, each search in a
process of its own:

    cost      CPU-seconds of the call and of the whole process, and peak memory, on all rows;
              median of the repeats
    removed   on the same rows, which hold no pair with J >= 0.7: rows removed, none of them rightly
    recall    2,000 base rows and 250 copies of each of four kinds: how many copies were found, and
              how many there were to find (a change may take a copy of a short row below 0.7)
    false     rows removed there that are no copy and have none
    unjust    removed rows without any kept row at J >= 0.7, by exact comparison
    stage     CPU-seconds (user and system) of the whole stage on the rows of a workspace: open it,
              read the texts, sign them, store the signatures, compare, write every decision; and
              of the same again, when signatures are stored. Beside it rensa's own, in the same run

rensa runs as its README shows (128 permutations, its own bands) and once with bands chosen for
recall. It decides by the estimate of J; Sluice compares the sets themselves, and says which row
is the copy of which.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Run as a script, Python looks beside this file, not in the folder that the packages stand in.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.injected_copies import (
    Injected,
    inject_copies,
    jaccard,
    shingles,
    similar_pairs,
)
from benchmarks.running import RESULTS, machine_facts, run_python, write_result

THRESHOLD = 0.7
PERMUTATIONS = 128
MANY_BANDS = 64
BASE_ROWS, COPIES_PER_KIND = 2_000, 250
DATA_VARIABLE = "SLUICE_REAL_DATA"
Search = Callable[[Sequence[str]], list[int]]


def search_with_sluice(texts: Sequence[str]) -> list[int]:
    """Rows that Sluice removes; of two copies the earlier row is kept."""
    import numpy as np

    from pipeline.dedupe.minhash import remove_near_duplicates

    ids = np.array([f"{row:08d}" for row in range(len(texts))])
    picked = remove_near_duplicates(texts, np.full(len(texts), np.nan), ids, THRESHOLD)
    return sorted(set(range(len(texts))) - set(picked.indices.tolist()))


def search_with_rensa(texts: Sequence[str], bands: int | None = None) -> list[int]:
    """Rows that rensa's deduplicator does not keep; it keeps the first of several."""
    from rensa import RMinHashDeduplicator

    search = RMinHashDeduplicator(THRESHOLD, PERMUTATIONS, use_lsh=True, num_bands=bands)
    tokens = ([" ".join(shingle) for shingle in shingles(text)] for text in texts)
    keep = search.add_pairs((str(row), found) for row, found in enumerate(tokens))
    return [row for row, kept in enumerate(keep) if not kept]


SEARCHES: Mapping[str, Search] = {
    "sluice": search_with_sluice,
    "rensa": search_with_rensa,
    f"rensa, {MANY_BANDS} bands": lambda texts: search_with_rensa(texts, MANY_BANDS),
}


def run_search(name: str, file: Path) -> None:
    """Search the texts of a file, in this process; writes what was removed, and CPU-seconds."""
    texts = json.loads(file.read_bytes())
    SEARCHES[name](texts[:10])  # imports, and whatever a library prepares once
    started = time.process_time()
    removed = SEARCHES[name](texts)
    seconds = time.process_time() - started
    sys.stdout.write(json.dumps({"removed": removed, "cpu_seconds": seconds}))


def measure_search(name: str, texts: Sequence[str], repeats: int) -> dict[str, Any]:
    """Search in processes of their own; medians, and the rows removed, which must not vary."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "texts.json"
        file.write_text(json.dumps(texts))
        runs = [run_python([__file__, "--search", name, file]) for _ in range(repeats)]
    outputs = [json.loads(run.output) for run in runs]
    removed = outputs[0]["removed"]
    return {
        "cpu_seconds": round(statistics.median(one["cpu_seconds"] for one in outputs), 3),
        "process_cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 3),
        "peak_mib": round(statistics.median(run.peak_bytes for run in runs) / 2**20, 1),
        "same_in_every_run": all(one["removed"] == removed for one in outputs),
        "removed": removed,
    }


def unjust_removals(texts: Sequence[str], removed: Sequence[int]) -> int:
    """Removed rows that have no kept row at the threshold."""
    gone = set(removed)
    just = set()
    for one, other, _ in similar_pairs(texts, THRESHOLD):
        if len({one, other} & gone) == 1:
            just |= {one, other} & gone
    return len(gone - just)


def judge_recall(injected: Injected, removed: Sequence[int]) -> dict[str, Any]:
    """Copies found of each kind, and rows removed that are no copy."""
    gone = set(removed)
    found = {
        kind: sum(not gone.isdisjoint(pair) for pair in pairs)
        for kind, pairs in injected.copies.items()
    }
    return {
        "found": found,
        "false_removals": len(gone - injected.involved),
        "unjust_removals": unjust_removals(injected.texts, removed),
    }


def attainable(injected: Injected) -> dict[str, int]:
    """Copies of each kind that are still at the threshold, by exact comparison."""
    sets = [shingles(text) for text in injected.texts]
    return {
        kind: sum(jaccard(sets[one], sets[copy]) >= THRESHOLD for one, copy in pairs)
        for kind, pairs in injected.copies.items()
    }


def run_stage(file: Path) -> None:
    """Remove near-duplicates from a workspace, in this process; writes CPU-seconds."""
    from pipeline.dedupe.minhash import MinHash
    from pipeline.dedupe.stage import deduplicate_examples
    from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
    from pipeline.run_context import RunContext
    from storage.database import open_workspace, read_workspace
    from storage.examples import read_pool
    from storage.runs import start_run
    from storage.workspace import Workspace

    step = MinHash(method="minhash", threshold=THRESHOLD, permutations=PERMUTATIONS)
    search_with_sluice(["prepared once"] * 2)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        sources = identify_sources(workspace, [SourceSettings(path=str(file))])
        ids = [source.source_id for source in sources]
        with open_workspace(workspace) as con:
            for run_id in ("first", "second"):
                recipe = {"name": run_id, "seed": 0}
                start_run(con, run_id, recipe, "benchmark", {}, ids)
        ingest_sources(workspace, sources)
        with read_workspace(workspace) as con:
            pool = read_pool(con, ids)
        seconds = {}
        for run_id in ("first", "second"):
            run = RunContext(workspace, run_id, 0, ids, {}, {})
            started = time.process_time()
            left = deduplicate_examples(run, [step], pool)
            seconds[run_id] = time.process_time() - started
    sys.stdout.write(json.dumps({"rows": len(pool), "kept": len(left), **seconds}))


def measure_stage(texts: Sequence[str], file: Path, repeats: int) -> dict[str, Any]:
    """The whole stage and rensa alone, in turn; medians."""
    stages, rensa = [], []
    with tempfile.TemporaryDirectory() as directory:
        plain = Path(directory) / "texts.json"
        plain.write_text(json.dumps(texts))
        for _ in range(repeats):
            stages.append(json.loads(run_python([__file__, "--stage", file]).output))
            output = run_python([__file__, "--search", "rensa", plain]).output
            rensa.append(json.loads(output)["cpu_seconds"])
    first, again, alone = (
        round(statistics.median(seconds), 3)
        for seconds in ([s["first"] for s in stages], [s["second"] for s in stages], rensa)
    )
    return {
        "rows": stages[0]["rows"],
        "kept": stages[0]["kept"],
        "stage_cpu_seconds": first,
        "stage_again_cpu_seconds": again,
        "rensa_cpu_seconds": alone,
        "stage_over_rensa": round(first / alone, 2),
    }


def measure(texts: Sequence[str], repeats: int, seed: int) -> dict[str, Any]:
    """All searches on all rows, and on rows with known copies."""
    injected = inject_copies(texts, BASE_ROWS, COPIES_PER_KIND, seed)
    searches = {}
    for name in SEARCHES:
        on_all = measure_search(name, texts, repeats)
        on_injected = measure_search(name, injected.texts, repeats)
        removed = on_all.pop("removed")
        searches[name] = {
            "all_rows": {**on_all, "removed_rows": len(removed)},
            "with_copies": judge_recall(injected, on_injected.pop("removed")) | on_injected,
        }
        sys.stderr.write(f"{name}: {json.dumps(searches[name])}\n")
    return {
        "rows": len(texts),
        "true_pairs_in_all_rows": len(similar_pairs(texts, THRESHOLD)),
        "copies_attainable": attainable(injected),
        "searches": searches,
    }


def rows_file() -> Path | None:
    """The file of Alpaca rows; None where there is none on this machine."""
    directory = os.environ.get(DATA_VARIABLE)
    file = Path(directory or "none") / "instruct" / "alpaca_9k.json"
    return file if directory and file.exists() else None


def read_texts() -> list[str] | None:
    """The Alpaca rows as texts; None where there are none on this machine."""
    file = rows_file()
    if file is None:
        return None
    rows = json.loads(file.read_bytes())
    fields = ("instruction", "input", "output")
    return ["\n".join(row[field] for field in fields if row[field]) for row in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Near-duplicates: Sluice against rensa.")
    parser.add_argument("--repeats", type=int, default=5, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the copies; default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "dedupe_quality.json")
    parser.add_argument("--search", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--stage", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.stage:
        run_stage(options.stage)
        return 0
    if options.search:
        name, file = options.search
        run_search(name, Path(file))
        return 0
    texts, file = read_texts(), rows_file()
    if texts is None or file is None:
        sys.stderr.write(
            f"skipped, nothing was measured: set {DATA_VARIABLE} to a directory that holds "
            "instruct/alpaca_9k.json\n"
        )
        return 0
    result = measure(texts, options.repeats, options.seed)
    result["whole_stage"] = measure_stage(texts, file, options.repeats)
    write_result(options.out, result | {"machine": machine_facts(["rensa", "numpy"])})
    return 0


if __name__ == "__main__":
    sys.exit(main())
