"""What each method of training costs in a step against plain training, and packed against padded.

    SLUICE_REAL_DATA=DIR python benchmarks/training_methods.py [--steps 1] [--rounds 1]
        [--only NAME ...] [--out FILE]

The first ten blocks of the embedded model on short Alpaca rows, eight in a pass. Each training has
a process of its own; its first step is not timed. CPU-seconds of one thread are what counts on a
busy machine: with more, their waiting for each other would count as work. All trainings take turns,
a round each, and the cheapest of a training counts: others on the machine only add to it. TRL's own
trainer reads the same rows, padded and without padding, with no weights: what those cost beside.
With --only the others stay in the file as they were measured; times_plain is of the same run.
Weights of tokens (tl_training) are "weights"; what ends a training (lines, antidote) is in no step.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.real_rows import ALPACA, real_data
from benchmarks.running import RESULTS, machine_facts, run_python, write_result

CHILD = Path(__file__).with_name("training_steps.py")
ROWS = 8
BLOCKS = 10
LONGEST = 240
"""Characters of a prompt and its answer; longer rows would be padding for all the others."""

EARLIER = "earlier"
"""Stands for the folder of an adapter, which each training makes for itself."""

LORA: dict[str, Any] = {"lora_rank": 8}
FULL: dict[str, Any] = {"tune": "full"}


def with_method(tune: Mapping[str, Any], method: str, **settings: object) -> dict[str, Any]:
    """The settings of a training with one method."""
    return {**tune, "methods": [{"method": method, **settings}]}


TRAININGS: dict[str, dict[str, Any]] = {
    "TRL, LoRA": LORA,
    "plain, LoRA": LORA,
    "weights, LoRA": LORA,
    "TRL, LoRA, padding-free": {**LORA, "packing": True},
    "weights, LoRA, packed": {**LORA, "packing": True},
    "masked_thought, LoRA": with_method(LORA, "masked_thought"),
    "dft, LoRA": with_method(LORA, "dft"),
    "poft, LoRA": with_method(LORA, "poft", perplexities=["perplexity"]),
    "q_tuning, LoRA": with_method(LORA, "q_tuning"),
    "mixup, LoRA": with_method(LORA, "mixup"),
    "sftmix, LoRA": with_method(LORA, "sftmix"),
    "ift, LoRA": with_method(LORA, "ift"),
    "asft, LoRA": with_method(LORA, "asft"),
    "dpo, LoRA": with_method(LORA, "dpo"),
    "fait, LoRA": with_method(LORA, "fait"),
    "reg_lora, LoRA": with_method(LORA, "reg_lora", earlier=[{"folder": EARLIER}]),
    "loramoe, LoRA": with_method({"lora_rank": 2}, "loramoe", experts=4),
    "coba, LoRA": {**with_method(LORA, "coba"), "balance": "source"},
    "eva, LoRA": with_method(LORA, "eva"),
    "corda, LoRA": with_method(LORA, "corda", rows=ROWS),
    "lora_ga, LoRA": with_method(LORA, "lora_ga", rows=ROWS),
    "lora_sb, LoRA": with_method(LORA, "lora_sb", rows=ROWS),
    "mezo, LoRA": with_method(LORA, "mezo", spread=0.01),
    "plain, full": FULL,
    "hft, full": with_method(FULL, "hft"),
    "cofitune, full": with_method(FULL, "cofitune"),
    "roste, full": with_method(FULL, "roste"),
}


def measure(name: str, steps: int) -> dict[str, float]:
    """One training in a process of its own."""
    usage = run_python([CHILD, name, str(steps)])
    found: dict[str, float] = json.loads(usage.output.splitlines()[-1])
    return {
        "wall_seconds_per_step": round(found["wall"], 2),
        "cpu_seconds_per_step": round(found["cpu"], 2),
        "tokens_per_cpu_second": round(found["tokens"] / found["cpu"], 1),
        "peak_gib": round(usage.peak_bytes / 2**30, 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="The cost of a step with each method of training.")
    parser.add_argument("--steps", type=int, default=1, help="timed; default %(default)s")
    parser.add_argument("--rounds", type=int, default=1, help="default %(default)s")
    parser.add_argument("--only", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--out", type=Path, default=RESULTS / "training_methods.json")
    given = parser.parse_args(arguments)
    if real_data(ALPACA) is None:
        return 0
    found: dict[str, dict[str, float]] = {}
    for _ in range(given.rounds):
        for name in given.only:
            had, now = found.get(name), measure(name, given.steps)
            sys.stderr.write(f"{name}: {json.dumps(now)}\n")
            if had is None or now["cpu_seconds_per_step"] < had["cpu_seconds_per_step"]:
                found[name] = now
    for name, each in found.items():
        each |= {"steps": given.steps, "rounds": given.rounds}
        plain = found.get("plain, full" if name.endswith("full") else "plain, LoRA")
        if plain is not None:
            times = each["cpu_seconds_per_step"] / plain["cpu_seconds_per_step"]
            each["times_plain"] = round(times, 2)
    partly = given.out.exists() and set(given.only) < set(TRAININGS)
    stands = {**json.loads(given.out.read_bytes())["trainings"], **found} if partly else found
    facts = machine_facts(("torch", "transformers", "trl", "peft"))
    facts["threads"] = 1
    result = {
        "machine": facts,
        "blocks": BLOCKS,
        "rows_per_step": ROWS,
        "trainings": {name: stands[name] for name in TRAININGS if name in stands},
    }
    write_result(given.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
