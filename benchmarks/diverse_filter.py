"""DEITA's diversity filter: ours against the loop that its release runs, one candidate at a time.

    python benchmarks/diverse_filter.py [--rows 20000] [--dimensions 1024] [--picks 1200]

The loop is written anew from a description of the released one (arXiv:2312.15685): the embeddings
come as lists of float64; for each candidate, all rows kept so far are copied out of them, cast to
float32, normalised again, and compared with the candidate. Both sides get the same vectors, in
clusters as real rows are, and the same order of scores, and must keep the same rows in the same
order. The loop's time grows with the square of what it keeps, so `--picks` says how long it takes.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.running import RESULTS, THREADS, machine_facts, write_result
from pipeline.ranking.budget import Budget
from pipeline.selection.methods.diverse import select_diverse

BOUND = 0.9
NOISE = 0.55
"""Of a row, as a share of its cluster's centre: two of one cluster are then about 0.77 alike."""
COPIES = 0.4
"""Share of the rows that are one of TEMPLATES with little noise: those that the filter is for."""
TEMPLATES = 500


def clustered(rows: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors (rows, dimensions) in 200 clusters, part of them near-copies."""
    rng = np.random.default_rng(seed)
    noise = NOISE * rng.standard_normal((rows, dimensions))
    vectors = rng.standard_normal((200, dimensions))[rng.integers(0, 200, rows)] + noise
    copies = rng.random(rows) < COPIES
    like = rng.integers(0, TEMPLATES, rows)[copies]
    vectors[copies] = vectors[like] + 0.2 * rng.standard_normal((copies.sum(), dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def plain_filter(embeddings: list[list[float]], order: Sequence[int], picks: int) -> list[int]:
    """The loop: a candidate stays if its cosine to every row kept is at most BOUND."""
    table = np.array(embeddings)
    kept = [order[0]]
    for row in order[1:]:
        if len(kept) == picks:
            break
        candidate = torch.tensor(table[[row]], dtype=torch.float32)
        others = torch.tensor(table[kept], dtype=torch.float32)
        candidate = candidate / candidate.norm(dim=1, keepdim=True)
        others = others / others.norm(dim=1, keepdim=True)
        similarity = torch.nn.functional.normalize(candidate) @ torch.nn.functional.normalize(
            others
        ).transpose(0, 1)
        if float(similarity.max()) <= BOUND:
            kept.append(row)
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="DEITA's filter against its released loop.")
    parser.add_argument("--rows", type=int, default=20_000, help="default %(default)s")
    parser.add_argument("--dimensions", type=int, default=1024, help="default %(default)s")
    parser.add_argument("--picks", type=int, default=1_200, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "diverse_filter.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(THREADS)
    vectors = clustered(options.rows, options.dimensions)
    ids = np.array([f"{row:08x}" for row in range(options.rows)], dtype=object)
    scores = np.random.default_rng(1).permutation(options.rows).astype(np.float64)
    ours = []
    budget = Budget(rows=options.picks)
    select_diverse(scores[:256], vectors[:256], ids[:256], budget)  # the libraries are loaded
    for _ in range(3):
        started = time.perf_counter()
        picked = select_diverse(scores, vectors, ids, budget, max_similarity=BOUND)
        ours.append(time.perf_counter() - started)
    embeddings = vectors.astype(np.float64).tolist()
    order = np.argsort(-scores).tolist()
    started = time.perf_counter()
    kept = plain_filter(embeddings, order, options.picks)
    loop = time.perf_counter() - started
    same = picked.indices.tolist() == kept
    result = {
        "rows": options.rows,
        "dimensions": options.dimensions,
        "picks": len(kept),
        "passed_over": int((picked.reasons == "too_similar").sum()),
        "identical": same,
        "filter_seconds": [round(each, 3) for each in ours],
        "loop_seconds": round(loop, 1),
        "times_the_loop": round(loop / sorted(ours)[1], 1),
    }
    machine = machine_facts(["faiss-cpu", "numpy", "torch"])
    write_result(options.out, {**result, "machine": machine})
    sys.stderr.write(f"{result}\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
