"""S2L's losses: the engine against the published way, one row at a time for each checkpoint.

    SLUICE_REAL_DATA=DIR python benchmarks/trajectory_losses.py [--rows 64] [--out FILE]

The released script of S2L (arXiv:2403.07384) reads the pool once for each checkpoint, batch of one,
float32, with logits for every token. Here one checkpoint is read by each side; a run has a dozen,
all alike. Both read the same rows with the same weights and two threads.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.measuring_peers import MODEL, cpu_seconds
from benchmarks.plain_loop import plain_losses
from benchmarks.real_rows import ALPACA, alpaca_pairs, real_data, render_pairs
from benchmarks.running import RESULTS, machine_facts, write_result
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.training.recorded_losses import mean_losses

LAYERS = (2, 30)
"""A proxy for a laptop, and the whole model."""


def compare(data: Path, count: int, layers: int) -> dict[str, Any]:
    """CPU-seconds of one checkpoint, both sides."""
    model = load_language_model(resolve_model(MODEL, layers), "float32")
    rows = render_pairs(model, alpaca_pairs(data, count), 512)
    prefixes, responses = [row.prompt for row in rows], [row.response for row in rows]
    mean_losses(model, rows[:4])
    found: list[np.ndarray] = []
    engine = cpu_seconds(lambda: found.append(mean_losses(model, rows)))
    loop = cpu_seconds(
        lambda: found.append(plain_losses(model.model, prefixes, responses, batch_rows=1))
    )
    return {
        "rows": len(rows),
        "engine_cpu_seconds": round(engine, 2),
        "loop_cpu_seconds": round(loop, 2),
        "times_the_loop": round(loop / engine, 2),
        "largest_difference": float(f"{np.abs(found[0] - found[1]).max():.2g}"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="S2L's losses against a loop of single rows.")
    parser.add_argument("--rows", type=int, default=64, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "trajectory_losses.json")
    options = parser.parse_args(arguments)
    data = real_data(ALPACA)
    if data is None:
        return 0
    machine = machine_facts(["torch", "transformers"])
    result = {f"{layers} layers": compare(data, options.rows, layers) for layers in LAYERS}
    write_result(options.out, {**result, "machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
