"""What the way from raw rows to an export costs where no model is asked, and how it grows.

    python benchmarks/data_path.py [--rows 100000 1000000] [--repeats 1] [--out FILE]

writes short chat rows (OpenAI messages; words as frequent as in a language, one row of 50 an exact
copy of another, one of 50 with two words changed, one of 1,000 with 20 words of an evaluation set),
and takes them through Sluice's own stages, each measured apart: ingest, token counts, a score,
exact and MinHash deduplication, a check against the evaluation set, a selection, an export. Beside
it, in the same run, what one would write instead: `data_path_script.py`, which reads with polars,
drops copies with a set and near copies with rensa, looks for 13-grams in a set, draws and writes
Parquet and JSONL, and keeps no reason for anything. It counts no tokens; the ratio leaves those
out. Token counts are held against the tokenizer's own batches over the same texts, 100,000 at most.

Reported are CPU-seconds and the peak memory of each process, both sides' median; with two sizes
also the exponent with which each stage grows.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.running import RESULTS, Usage, machine_facts, run_python, write_result

ITEMS, SHARED_WORDS = 1_319, 20
VOCABULARY = 20_000
SYLLABLES = [f"{c}{v}" for c in "bcdfghjklmnprstvwxyz"[:20] for v in "aeiou"]

RECIPE = {
    "name": "path",
    "workspace": "work",
    "target": "wheel:smollm2-135m-instruct",
    "sources": [{"path": "rows.jsonl"}],
    "scores": ["response_length"],
    "dedupe": [{"method": "exact"}, {"method": "minhash"}],
    "check": {"against": [{"path": "evaluation.jsonl"}], "action": "remove", "leaks": 0},
    "select": {"steps": [{"method": "random", "budget": {"fraction": 0.1}}]},
}


class Words:
    """Draws words as frequent as a language's: the n-th is n times as rare as the first."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        shares = [1 / (n + 2) for n in range(VOCABULARY)]
        self._words = [self._spell(n) for n in range(VOCABULARY)]
        total, self._cumulative = 0.0, []
        for share in shares:
            total += share
            self._cumulative.append(total)

    @staticmethod
    def _spell(number: int) -> str:
        """A word of its own for each number, longer ones for rarer."""
        spelt = ""
        while number or not spelt:
            number, syllable = divmod(number, len(SYLLABLES))
            spelt += SYLLABLES[syllable]
        return spelt

    def draw(self, count: int) -> list[str]:
        """So many words."""
        return self._random.choices(self._words, cum_weights=self._cumulative, k=count)

    def below(self, limit: int) -> int:
        """A number below a limit."""
        return self._random.randrange(limit)


def evaluation_items() -> list[list[str]]:
    """Questions of 45 words."""
    words = Words(1)
    return [words.draw(45) for _ in range(ITEMS)]


def rows(count: int) -> Iterator[bytes]:
    """Lines of JSON: a question of 12 words and an answer of 40."""
    words, items = Words(0), evaluation_items()
    kept: list[tuple[list[str], list[str]]] = []
    for number in range(count):
        question, answer = words.draw(12), words.draw(40)
        if kept and number % 50 == 25:
            question, answer = kept[words.below(len(kept))]
        elif kept and number % 50 == 40:
            question, answer = kept[words.below(len(kept))]
            answer = [*answer[:30], *words.draw(1), *answer[31:]]
        elif number % 1000 == 7:
            question = [*question, *items[number % ITEMS][5 : 5 + SHARED_WORDS]]
        elif len(kept) < 10_000:
            kept.append((question, answer))
        messages = [
            {"role": "user", "content": " ".join(question) + "?"},
            {"role": "assistant", "content": " ".join(answer) + "."},
        ]
        yield json.dumps({"messages": messages}).encode() + b"\n"


def write_inputs(folder: Path, count: int) -> None:
    """The rows, the evaluation set and the recipe."""
    with (folder / "rows.jsonl").open("wb") as file:
        file.writelines(rows(count))
    with (folder / "evaluation.jsonl").open("w") as lines:
        for item in evaluation_items():
            lines.write(json.dumps({"prompt": " ".join(item), "completion": "yes"}) + "\n")
    (folder / "recipe.json").write_text(json.dumps(RECIPE))


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Both sides on so many rows; the medians of the repeats."""
    script = Path(__file__)
    taken: list[dict[str, Any]] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            write_inputs(folder, count)
            ours = run_python([script.with_name("data_path_stages.py"), folder])
            theirs = run_python([script.with_name("data_path_script.py"), folder])
        taken.append(describe(ours, theirs))
        sys.stderr.write(f"{count:,} rows: {json.dumps(taken[-1])}\n")
    return {"rows": count, **median_of(taken)}


def describe(ours: Usage, theirs: Usage) -> dict[str, Any]:
    """Figures of one run of both."""
    told, script = json.loads(ours.output), json.loads(theirs.output)
    stages = {name: round(seconds, 2) for name, seconds in told["cpu_seconds"].items()}
    bare = stages.pop("bare tokenizer")
    without_tokens = sum(stages.values()) - stages["token counts"]
    return {
        "stages": stages,
        "peak_gib": round(ours.peak_bytes / 2**30, 2),
        "kept": told["kept"],
        "script": {name: round(seconds, 2) for name, seconds in script["cpu_seconds"].items()},
        "script_peak_gib": round(theirs.peak_bytes / 2**30, 2),
        "script_kept": script["kept"],
        "ratio": round(without_tokens / sum(script["cpu_seconds"].values()), 2),
        "token_ratio": round(stages["token counts"] / bare, 2),
    }


def median_of(taken: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number, through nested objects."""
    first = taken[0]
    return {
        key: median_of([each[key] for each in taken])
        if isinstance(value, dict)
        else statistics.median([each[key] for each in taken])
        for key, value in first.items()
    }


def exponents(sizes: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Stage → e where its CPU-seconds grow as rows to the power of e, from the first size on."""
    first, last = sizes[0], sizes[-1]
    step = math.log(last["rows"] / first["rows"])
    return {
        name: round(math.log(last["stages"][name] / max(seconds, 0.01)) / step, 2)
        for name, seconds in first["stages"].items()
        if last["stages"][name] > 0
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="What the way to an export costs without models.")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "data_path.json")
    options = parser.parse_args(arguments)
    machine = machine_facts(["duckdb", "polars", "pyarrow", "rensa", "tokenizers"])
    sizes = [measure(rows, options.repeats) for rows in options.rows]
    found: dict[str, Any] = {"sizes": sizes, "machine": machine}
    if len(sizes) > 1:
        found["exponents"] = exponents(sizes)
    write_result(options.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
