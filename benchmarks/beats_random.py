"""Does a choice train better than random rows? Arms at equal loss tokens, with intervals.

    SLUICE_REAL_DATA=DIR python benchmarks/beats_random.py [--work DIR] [--rows N]
        [--loss-tokens N] [--seeds N] [--plan] [--out FILE]

The pool is Alpaca, Dolly and GSM8K train in equal parts, short rows, a quarter of them spoilt in a
known way (planted_faults.py). Each way of choosing is a recipe over one workspace, so that every
model is asked once; each spends the same loss tokens, and `sluice trial` trains the embedded 135M
model on all of them, at two learning rates and with as many seeds. Targets and evaluation items are
rows of the same three sets that are no part of the pool. GSM8K decides; the others are descriptive.

`planted` has spoilt rows alone and is to be found worse. --work keeps what was measured and
trained: the same command goes on from there, after a kill too. --plan says what it would take.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.planted_faults import ALPACA, DOLLY, GSM8K, SEED, plant, read_pairs, write_rows
from benchmarks.real_rows import real_data
from benchmarks.running import RESULTS, SLUICE, machine_facts, write_result

SETS = ("alpaca", "dolly", "gsm8k")
SHARES = {"shuffled": 0.1, "cut_off": 0.08, "other_language": 0.07}
TARGETS, ITEMS = 40, 80
"""Rows of each set that say what is wanted, and that arms are compared by."""

TARGETED = ("dolly", "gsm8k")

MEASURED = """
workspace: work
seed: 7
target: wheel:smollm2-135m-instruct
sources:
  - {path: alpaca.jsonl}
  - {path: dolly.jsonl}
  - {path: gsm8k.jsonl}
targets:
  - {path: dolly-targets.jsonl}
  - {path: gsm8k-targets.jsonl}
measure:
  tokens: {max_tokens: 512}
  losses: {max_tokens: 512, dtype: float32, weighted_vectors: true}
  embeddings: [{of: prompt}, {of: response}, {of: both}]
  trajectories: {epochs: 1, checkpoints: 3, batch_rows: 16, learning_rate: 5.0e-5, max_tokens: 512}
  gradients: {epochs: 1, rank: 8, alpha: 32, dimension: 1024, warmup_share: 0.2, max_tokens: 512}
scores:
  - ifd
  - grape
  - perplexity
  - entropy
  - end_of_turn_loss
  - prompt_response_similarity
  - {scorer: s2l_cluster, settings: {clusters: 20}}
  - sftmix_confidence
  - {scorer: sftmix_confidence, settings: {log_mean: true}, name: trajectory_mean}
  - {scorer: got_d, of: both}
  - less
train: {batch_rows: 8, lora_rank: 8, lora_alpha: 16}
"""

OF_SPOILT = """
workspace: work
seed: 7
target: wheel:smollm2-135m-instruct
sources: [{path: spoilt.jsonl}]
measure: {tokens: {max_tokens: 512}}
"""

CLEANED = """
    - {method: threshold, score: ifd, at_most: 1.0}
    - {method: drop_share, score: end_of_turn_loss, share: 0.05, end: highest}
    - {method: drop_share, score: trajectory_mean, share: 0.1, end: lowest}
    - {method: drop_share, score: prompt_response_similarity, share: 0.1, end: lowest}"""

STEPS: dict[str, str] = {
    "cleaned": CLEANED + "\n    - {method: random, budget: BUDGET}",
    "cleaned-less": CLEANED + "\n    - {method: top_k, score: less, budget: BUDGET}",
    "ifd": """
    - {method: threshold, score: ifd, at_most: 1.0}
    - {method: top_k, score: ifd, budget: BUDGET}""",
    "likeliest": "\n    - {method: top_k, score: grape, budget: BUDGET}",
    "s2l": "\n    - {method: s2l, score: s2l_cluster, budget: BUDGET}",
    "q-tuning": """
    - {method: q_tuning, keep: 0.25}
    - {method: random, budget: BUDGET}""",
    "diverse": "\n    - {method: diverse, score: ifd, text: both, budget: BUDGET}",
    "got-d": "\n    - {method: top_k, score: got_d, budget: BUDGET}",
    "rds": "\n    - {method: targets, rounds: tasks, budget: BUDGET}",
    "less": "\n    - {method: top_k, score: less, budget: BUDGET}",
    "confident": "\n    - {method: top_k, score: sftmix_confidence, budget: BUDGET}",
}
"""What each arm's recipe selects by; `likeliest` is GRAPE's score over rows of one answer each."""

CHOICE = "cleaned"
"""The arm that the trial takes for the recipe's choice: lengths are matched with it."""

SPOILT = "planted"

TRIAL = """
recipe: {choice}.yaml
arms:
  choice: {{selection: choice}}
{arms}
  random: {{control: random}}
  length_matched: {{control: length_matched}}
  untrained: {{control: untrained}}
budget: {{loss_tokens: {budget}}}
learning_rates: [1.0e-3, 2.5e-4]
looks: [{seeds}]
evaluate:
  gsm8k: {{path: gsm8k-items.jsonl, prompt: prompt, answer: response}}
  dolly: {{path: dolly-items.jsonl, prompt: prompt, answer: response}}
  alpaca: {{path: alpaca-items.jsonl, prompt: prompt, answer: response}}
primary: gsm8k
smallest_effect: 0.01
"""


def main() -> None:
    """Prepare the rows, measure them, train what is missing, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="keeps what was measured and trained")
    parser.add_argument("--rows", type=int, default=2100, help="of the pool")
    parser.add_argument("--loss-tokens", type=int, default=4000, help="of every arm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plan", action="store_true", help="say what it would take")
    parser.add_argument("--out", type=Path, default=RESULTS / "beats_random.json")
    given = parser.parse_args()
    data = real_data(ALPACA, DOLLY, GSM8K)
    if data is None:
        return
    with TemporaryDirectory() as fresh:
        work = (given.work or Path(fresh)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        write_inputs(data, work, given.rows)
        write_recipes(work, given.loss_tokens, given.seeds)
        for name in (*STEPS, SPOILT):
            sluice("select", str(work / f"{name}.yaml"))
        result = compare(work, given.plan)
    if result is not None:
        sizes = {"rows": given.rows, "loss_tokens": given.loss_tokens, "seeds": given.seeds}
        packages = ("torch", "transformers", "peft", "trl", "numpy")
        facts = {"machine": machine_facts(packages), "shares": SHARES}
        write_result(given.out, {**facts, **sizes, "trial": result})


def write_inputs(data: Path, work: Path, rows: int) -> None:
    """The pool, the rows that say what is wanted, the items, and the spoilt rows by themselves.

    A prompt is in one of them only.
    """
    spoilt: list[dict[str, str]] = []
    for name in SETS:
        pairs = list(dict(read_pairs(data, name)).items())
        random.Random(f"{SEED} {name} apart").shuffle(pairs)
        apart, pool = pairs[: TARGETS + ITEMS], pairs[TARGETS + ITEMS :]
        write_pairs(work / f"{name}-targets.jsonl", apart[:TARGETS])
        write_pairs(work / f"{name}-items.jsonl", apart[TARGETS:])
        planted = plant(pool, name, rows // len(SETS), SHARES)
        write_rows(work / f"{name}.jsonl", planted)
        spoilt += [{"prompt": r.prompt, "response": r.answer} for r in planted if r.fault]
    random.Random(SEED).shuffle(spoilt)
    write_lines(work / "spoilt.jsonl", spoilt)


def write_pairs(path: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """As a source of a recipe."""
    write_lines(path, [{"prompt": prompt, "response": answer} for prompt, answer in pairs])


def write_lines(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """One row a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_recipes(work: Path, budget: int, seeds: int) -> None:
    """A recipe for each arm, and the trial of them all."""
    spent = f"{{loss_tokens: {budget}}}"
    steps = {**STEPS, SPOILT: "\n    - {method: random, budget: BUDGET}"}
    for name, chosen in steps.items():
        head = OF_SPOILT if name == SPOILT else MEASURED
        select = f"select:\n  name: {name}\n  held_out: 0.0\n  sensitivity: false\n  steps:"
        text = f"name: {name}{head}{select}{chosen.replace('BUDGET', spent)}\n"
        (work / f"{name}.yaml").write_text(text, encoding="utf-8")
    others = [name for name in steps if name != CHOICE]
    arms = "\n".join(f"  {name}: {{selection: {name}}}" for name in others)
    trial = TRIAL.format(choice=CHOICE, arms=arms, budget=budget, seeds=seeds)
    (work / "trial.yaml").write_text(trial, encoding="utf-8")


def compare(work: Path, plan_only: bool) -> dict[str, Any] | None:
    """What the trial came to; None of a plan."""
    if plan_only:
        sluice("trial", str(work / "trial.yaml"), "--plan")
        return None
    told = sluice("trial", str(work / "trial.yaml"), "--json")
    found: dict[str, Any] = json.loads(told)
    return found


def sluice(*arguments: str) -> str:
    """What the command line printed; it says on stderr what it does."""
    command = [sys.executable, *SLUICE, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
