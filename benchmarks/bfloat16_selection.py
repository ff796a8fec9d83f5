"""Selections from bfloat16 losses against those from float32: how many rows are the same.

    SLUICE_REAL_DATA=DIR python benchmarks/bfloat16_selection.py [--rows 400] [--prompts 20]

Alpaca rows are measured in both dtypes, and a tenth, a quarter and a half of them taken by each
score; of eight models' answers to a prompt GRAPE takes the likeliest. Overlap is the share of the
rows of the one selection that the other has. Rows whose response has fewer than 20 tokens are also
left out once, for their means move most.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.measuring_peers import LONGEST, MODEL
from benchmarks.real_rows import (
    ALPACA,
    ANSWERS,
    alpaca_pairs,
    candidate_pairs,
    real_data,
    render_pairs,
)
from benchmarks.running import RESULTS, machine_facts, write_result
from scorers.arrays import Floats
from scorers.grape import score_grape
from scorers.ifd import score_ifd
from scorers.ifd_perplexity import score_ifd_perplexity
from scorers.measures.losses import measure_losses
from scorers.measures.models.loading import load_language_model, resolve_model

SHARES = (0.1, 0.25, 0.5)
SHORT = 20
DTYPES = ("float32", "bfloat16")

Columns = dict[str, Floats]

SCORES: dict[str, Callable[[Columns], Floats]] = {
    "grape": lambda c: score_grape(c["mean_nll"]),
    "ifd": lambda c: score_ifd(c["mean_nll"], c["mean_nll_alone"]),
    "ifd_perplexity": lambda c: score_ifd_perplexity(c["mean_nll"], c["mean_nll_alone"]),
    "entropy": lambda c: c["mean_entropy"],
}


def measure(dtype: str, pairs: list[tuple[str, str]]) -> Columns:
    """Losses of the pairs in a dtype."""
    model = load_language_model(resolve_model(MODEL), dtype)
    found = measure_losses(model, render_pairs(model, pairs, LONGEST), LONGEST)
    names = ("mean_nll", "mean_nll_alone", "mean_entropy", "response_tokens")
    return {name: np.array([getattr(row, name) for row in found], dtype="f8") for name in names}


def overlap(one: Floats, other: Floats, share: float) -> float:
    """Share of the highest of one that are among the highest of the other."""
    count = round(share * len(one))
    picks = [set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (one, other)]
    return len(picks[0] & picks[1]) / count


def compare(columns: dict[str, Columns], keep: np.ndarray) -> dict[str, Any]:
    """Overlap of each score's selections, among the rows kept."""
    kept = {d: {name: values[keep] for name, values in columns[d].items()} for d in DTYPES}
    return {
        name: {
            f"best {share:.0%}": round(
                overlap(score(kept["float32"]), score(kept["bfloat16"]), share), 3
            )
            for share in SHARES
        }
        for name, score in SCORES.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Selections from bfloat16 against float32.")
    parser.add_argument("--rows", type=int, default=400, help="default %(default)s")
    parser.add_argument("--prompts", type=int, default=20, help="of GRAPE; default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "bfloat16_selection.json")
    options = parser.parse_args(arguments)
    data = real_data(ALPACA, ANSWERS)
    if data is None:
        return 0
    columns = {dtype: measure(dtype, alpaca_pairs(data, options.rows)) for dtype in DTYPES}
    tokens = columns["float32"]["response_tokens"]
    off = np.abs(columns["float32"]["mean_nll"] - columns["bfloat16"]["mean_nll"])
    # Prompts of which every answer fits the window, so that each has eight.
    pairs = candidate_pairs(data, options.prompts)
    model = load_language_model(resolve_model(MODEL), "float32")
    whole = [
        pair
        for at in range(0, len(pairs), 8)
        if len(render_pairs(model, pairs[at : at + 8], LONGEST)) == 8
        for pair in pairs[at : at + 8]
    ]
    answers = {d: measure(d, whole)["mean_nll"].reshape(-1, 8).argmin(axis=1) for d in DTYPES}
    result = {
        "rows": len(tokens),
        "mean_nll_difference": {
            "mean": float(f"{off.mean():.2g}"),
            "largest": float(f"{off.max():.2g}"),
            f"largest, {SHORT} tokens or more": float(f"{off[tokens >= SHORT].max():.2g}"),
        },
        "overlap": compare(columns, np.ones(len(tokens), dtype=bool)),
        f"overlap, {SHORT} tokens or more": compare(columns, tokens >= SHORT),
        "grape_prompts": len(answers["float32"]),
        "grape_same_answer": round(float((answers["float32"] == answers["bfloat16"]).mean()), 3),
    }
    write_result(options.out, {**result, "machine": machine_facts(["torch", "transformers"])})
    return 0


if __name__ == "__main__":
    sys.exit(main())
