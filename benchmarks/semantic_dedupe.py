"""Semantic deduplication of given embeddings: Sluice against SemHash, on the same vectors.

    python benchmarks/semantic_dedupe.py --peer PYTHON [--repeats 3] [--out FILE]
    python benchmarks/semantic_dedupe.py --million [--out FILE]

PYTHON is the interpreter of an environment that has SemHash (`python -m venv DIR`, then
`DIR/bin/pip install semhash==0.5.0`); without one Sluice is measured alone.

The vectors are random ones of length 1, a tenth of them near-copies of others, planted with a seed:
a copy is the row plus noise of NOISE in each column. Random vectors have no cells to lie in, so
they are the hard case of a search by cells. What is measured, each search in a process of its own:

    cost    CPU-seconds (user and system) of the search alone, without imports and without the
            making of vectors; median of the repeats
    wall    seconds of the same, which depend on what else the machine does
    kept    rows kept, beside the ideal: all that are no planted copy
    peak    memory of the whole process

9 000 and 50 000 rows of 256 columns are searched completely. With --million, 1 000 000 rows of 384
columns are searched by cells, once, by this process, and the recall it measures is kept beside the
true one. Both commands write to one file, and leave what the other has written there.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Run as a script, Python looks beside this file, not in the folder that the packages stand in.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.9
NOISE = 0.02
SIZES = (9_000, 50_000)
COLUMNS = 256
MILLION, MILLION_COLUMNS = 1_000_000, 384

PEER = """
import json, resource, sys, time
import numpy as np
from semhash import SemHash
vectors = np.load(sys.argv[1])
names = [str(row) for row in range(len(vectors))]
SemHash.from_embeddings(vectors[:100], names[:100], None).self_deduplicate(threshold=0.9)
wall, started = time.perf_counter(), time.process_time()
kept = SemHash.from_embeddings(vectors, names, None).self_deduplicate(threshold=0.9).selected
seconds, wall = time.process_time() - started, time.perf_counter() - wall
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
found = {"cpu_seconds": seconds, "wall_seconds": wall, "kept": len(kept), "peak_mib": peak}
print(json.dumps(found))
"""
"""What runs in the other environment; the first, small search is for what is prepared once."""


def plant_copies(n: int, columns: int, seed: int = 0) -> tuple[NDArray[np.float32], int]:
    """Vectors (n, columns) of length 1, the last tenth near-copies of the first; and the ideal."""
    rng = np.random.default_rng(seed)
    ideal = n - n // 10
    vectors = rng.standard_normal((n, columns), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    noise = rng.standard_normal((n - ideal, columns), dtype=np.float32)
    vectors[ideal:] = vectors[: n - ideal] + np.float32(NOISE) * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, ideal


def search_with_sluice(vectors: NDArray[np.float32], by_cells: bool) -> tuple[int, Sequence[str]]:
    """Rows kept, and what is said of the search."""
    from pipeline.dedupe.semantic import Semantic, remove_similar
    from pipeline.ranking.inverted_index import (
        Cells,
        count_cells,
        draw_rows,
        nearest_cells,
        whole_numbers,
    )

    n = len(vectors)
    ids = np.array([f"{row:08d}" for row in range(n)], dtype=object)
    cells = None
    if by_cells:
        count = count_cells(n)
        centres = whole_numbers(vectors[np.sort(draw_rows(ids, count, "centres"))])
        searched = Semantic(method="semantic").cells
        cells = Cells(nearest_cells(vectors, centres), count, searched)
    picked = remove_similar(vectors, np.full(n, np.nan), ids, THRESHOLD, cells)
    return len(picked.indices), picked.notes


def run_sluice(file: Path) -> dict[str, Any]:
    """Search the vectors of a file in this process."""
    vectors = np.load(file, allow_pickle=False)
    search_with_sluice(vectors[:100], by_cells=False)
    wall, started = time.perf_counter(), time.process_time()
    kept, _ = search_with_sluice(vectors, by_cells=False)
    seconds, wall = time.process_time() - started, time.perf_counter() - wall
    return {"cpu_seconds": seconds, "wall_seconds": wall, "kept": kept, "peak_mib": peak_mib()}


def peak_mib() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(peer: str | None, repeats: int) -> dict[str, Any]:
    """Both sides on both sizes; medians."""
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        script, file = Path(folder) / "peer.py", Path(folder) / "vectors.npy"
        script.write_text(PEER)
        commands = {"sluice": [sys.executable, __file__, "--search", str(file)]}
        if peer:
            commands["semhash"] = [peer, str(script), str(file)]
        for n in SIZES:
            vectors, ideal = plant_copies(n, COLUMNS)
            np.save(file, vectors)
            sides: dict[str, Any] = {}
            for _ in range(repeats):  # in turn, so that what else the machine does meets both
                for name, command in commands.items():
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                    sides.setdefault(name, []).append(json.loads(done.stdout))
            medians = {name: median_of(runs) for name, runs in sides.items()}
            sys.stderr.write(f"{n}: {json.dumps(medians)}\n")
            result[f"{n} x {COLUMNS}"] = {"ideal": ideal, **medians}
    return result


def median_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians of what was measured, and rows kept in each run."""
    return {
        "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run in runs), 2),
        "wall_seconds": round(statistics.median(run["wall_seconds"] for run in runs), 2),
        "peak_mib": round(statistics.median(run["peak_mib"] for run in runs), 1),
        "kept": [run["kept"] for run in runs],
    }


def measure_million() -> dict[str, Any]:
    """A million rows by cells, in this process, once."""
    vectors, ideal = plant_copies(MILLION, MILLION_COLUMNS)
    wall, cpu = time.monotonic(), time.process_time()
    kept, notes = search_with_sluice(vectors, by_cells=True)
    return {
        f"{MILLION} x {MILLION_COLUMNS}": {
            "wall_seconds": round(time.monotonic() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "peak_mib": round(peak_mib(), 1),
            "kept": kept,
            "ideal": ideal,
            "true_recall": round((MILLION - kept) / (MILLION - ideal), 4),
            "notes": notes,
        }
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    from benchmarks.running import RESULTS, machine_facts, write_result

    parser = argparse.ArgumentParser(description="Semantic deduplication: Sluice against SemHash.")
    parser.add_argument("--peer", help="interpreter of an environment that has SemHash")
    parser.add_argument("--repeats", type=int, default=3, help="default %(default)s")
    parser.add_argument("--million", action="store_true", help="a million rows, Sluice alone")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--search", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.search:
        sys.stdout.write(json.dumps(run_sluice(options.search)))
        return 0
    result = measure_million() if options.million else measure(options.peer, options.repeats)
    machine = machine_facts(["faiss-cpu", "numpy"])
    out = options.out or RESULTS / "semantic_dedupe.json"
    stored = json.loads(out.read_text()) if out.exists() else {}
    write_result(
        out, stored | {size: found | {"machine": machine} for size, found in result.items()}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
