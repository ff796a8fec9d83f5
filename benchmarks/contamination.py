"""Contamination: `sluice check` against wana 0.5.1, on the same rows, in the same run.

    SLUICE_REAL_DATA=DIR python benchmarks/contamination.py [--leaks 200] [--repeats 3] [--out FILE]

DIR holds gsm8k/train.jsonl, gsm8k/test.jsonl and instruct/alpaca_9k.json. Without them there is
nothing to measure: the command says so and ends with exit code 0, and no result is written. wana is
installed into a virtual environment of its own on the first run (from the package index), or its
command is named with --wana.

    pairs    GSM8K train against test, 13-grams: pairs found, and the pairs that an exhaustive
             comparison of all n-grams finds in this very run
    cost     CPU-seconds of the call, from opening the files to the hits, and of the whole process,
             imports and all; wana's are those of its process. Median of the repeats; wana runs once
    recall   leaks of known kinds, made from GSM8K test and from Alpaca rows (pipeline/contamination
             /leaks.py says how): how many are found with their own item
    false    Alpaca rows against GSM8K test, which have nothing to do with each other: rows with a
             hit

Sluice is measured with its default rules and once with a second rule for near copies (5-grams that
cover 0.7 of a prompt, whatever its numbers). wana has its own defaults: shared 13-grams, and 5-word
shingles with a Jaccard similarity of 0.8. Both read the same JSONL files. A leak that is found with
another item only does not count, on either side.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contamination_search import RULES
from benchmarks.peer_wana import WANA, check_with_wana, install_wana
from benchmarks.real_rows import ALPACA, alpaca_pairs, real_data
from benchmarks.running import RESULTS, machine_facts, run_python, write_result
from pipeline.contamination.leaks import KINDS, Leak, make_leaks
from pipeline.contamination.texts import Item, TurnText, plain_words
from scorers.words import word_weight

TRAIN, TEST = Path("gsm8k") / "train.jsonl", Path("gsm8k") / "test.jsonl"
WORDS = 13
SEARCH = Path(__file__).with_name("contamination_search.py")
ALPACA_ITEMS, UNRELATED_ROWS = 1_000, 2_000

Text = tuple[str, str]
"""Prompt and answer."""


def read_pairs(file: Path) -> list[Text]:
    """Questions and answers."""
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    return [(row["question"], row["answer"]) for row in rows]


def write_rows(file: Path, rows: Sequence[Sequence[TurnText]]) -> Path:
    """Write rows as OpenAI messages, which both sides read."""
    lines = [
        json.dumps({"messages": [{"role": role, "content": text} for role, text in row]})
        for row in rows
    ]
    file.write_text("\n".join(lines))
    return file


def as_turns(pairs: Sequence[Text]) -> list[list[TurnText]]:
    """Pairs as rows of two turns."""
    return [[TurnText("user", prompt), TurnText("assistant", answer)] for prompt, answer in pairs]


def exhaustive_pairs(rows: Sequence[Text], items: Sequence[Text]) -> set[tuple[int, int]]:
    """All pairs that share an n-gram, by sets of tuples and nothing else; lines from 1."""

    def grams(pair: Text) -> set[tuple[str, ...]]:
        words = plain_words("\n".join(pair))
        at = [place for place, word in enumerate(words) if word_weight(word)]  # no sign
        return {
            tuple(words[first : last + 1])
            for first, last in zip(at, at[WORDS - 1 :], strict=False)  # one for each whole n-gram
        }

    holders: dict[tuple[str, ...], list[int]] = {}
    for number, item in enumerate(items, 1):
        for gram in grams(item):
            holders.setdefault(gram, []).append(number)
    return {
        (number, item)
        for number, row in enumerate(rows, 1)
        for gram in grams(row)
        for item in holders.get(gram, ())
    }


def search(rules: str, rows: Path, evaluation: Path, repeats: int) -> dict[str, Any]:
    """Check files in processes of their own; medians, and the pairs, which must not vary."""
    runs = [run_python([SEARCH, rules, rows, evaluation]) for _ in range(repeats)]
    outputs = [json.loads(run.output) for run in runs]
    return {
        "cpu_seconds": round(statistics.median(each["cpu_seconds"] for each in outputs), 3),
        "process_cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 3),
        "peak_mib": round(statistics.median(run.peak_bytes for run in runs) / 2**20, 1),
        "same_in_every_run": all(each["pairs"] == outputs[0]["pairs"] for each in outputs),
        "pairs": {tuple(pair) for pair in outputs[0]["pairs"]},
    }


def compare_pairs(folder: Path, wana: Path, data: Path, repeats: int) -> dict[str, Any]:
    """GSM8K train against test: pairs and cost of both sides."""
    train, test = read_pairs(data / TRAIN), read_pairs(data / TEST)
    rows = write_rows(folder / "train.jsonl", as_turns(train))
    evaluation = write_rows(folder / "test.jsonl", as_turns(test))
    truth = exhaustive_pairs(train, test)
    seconds, found = check_with_wana(wana, rows, evaluation)
    result: dict[str, Any] = {"rows": len(train), "items": len(test), "true_pairs": len(truth)}
    theirs = {(row, item) for row, item, _ in found}
    result["wana"] = {"process_cpu_seconds": round(seconds, 2), **judge_pairs(theirs, truth)}
    for rules in RULES:
        ours = search(rules, rows, evaluation, repeats)
        pairs = ours.pop("pairs")
        times = {
            "times_wana": round(seconds / ours["cpu_seconds"], 1),
            "times_wana_whole_process": round(seconds / ours["process_cpu_seconds"], 1),
        }
        result[rules] = {**ours, **times, **judge_pairs(pairs, truth)}
        sys.stderr.write(f"{rules}: {json.dumps(result[rules])}\n")
    return result


def judge_pairs(found: set[tuple[int, int]], truth: set[tuple[int, int]]) -> dict[str, int]:
    """Pairs found that share an n-gram, and others."""
    return {"pairs_found": len(found & truth), "other_pairs": len(found - truth)}


def compare_recall(
    folder: Path, wana: Path, items: Sequence[Text], most: int, seed: int
) -> dict[str, Any]:
    """Leaks of each kind that both sides find with their own item."""
    leaks = make_leaks([Item(0, n, *pair) for n, pair in enumerate(items)], most, WORDS, seed)
    rows = write_rows(folder / "leaks.jsonl", [leak.row for leak in leaks])
    evaluation = write_rows(folder / "items.jsonl", as_turns(items))
    _, found = check_with_wana(wana, rows, evaluation)
    result: dict[str, Any] = {"leaks": count_kinds(leaks, range(1, len(leaks) + 1))}
    result["wana"] = count_kinds(leaks, own_items(leaks, {(row, item) for row, item, _ in found}))
    for rules in RULES:
        pairs = search(rules, rows, evaluation, 1)["pairs"]
        result[rules] = count_kinds(leaks, own_items(leaks, pairs))
    return result


def own_items(leaks: Sequence[Leak], pairs: set[tuple[int, int]]) -> list[int]:
    """The leaks, as lines, that were found with the item they were made from."""
    return [row for row, item in pairs if leaks[row - 1].item == item - 1]


def count_kinds(leaks: Sequence[Leak], lines: Sequence[int]) -> dict[str, int]:
    """How many of these leaks are of each kind."""
    kinds = [leaks[number - 1].kind for number in set(lines)]
    return {kind: kinds.count(kind) for kind in KINDS}


def compare_false(
    folder: Path, wana: Path, rows: Sequence[Text], items: Sequence[Text]
) -> dict[str, Any]:
    """Rows with a hit, where none has to do with the set."""
    file = write_rows(folder / "unrelated.jsonl", as_turns(rows))
    evaluation = write_rows(folder / "items.jsonl", as_turns(items))
    _, found = check_with_wana(wana, file, evaluation)
    result = {"rows": len(rows), "wana": len({row for row, _, _ in found})}
    for rules in RULES:
        result[rules] = len({row for row, _ in search(rules, file, evaluation, 1)["pairs"]})
    return result


def measure(data: Path, wana: Path, repeats: int, most: int, seed: int) -> dict[str, Any]:
    """Everything."""
    test = read_pairs(data / TEST)
    alpaca = list(dict.fromkeys(alpaca_pairs(data, 9_229)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return {
            "gsm8k_train_by_test": compare_pairs(folder, wana, data, repeats),
            "recall": {
                "gsm8k_test": compare_recall(folder, wana, test, most, seed),
                "alpaca": compare_recall(folder, wana, alpaca[:ALPACA_ITEMS], most, seed),
            },
            "unrelated_rows_hit": compare_false(folder, wana, alpaca[-UNRELATED_ROWS:], test),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Contamination: sluice check against wana.")
    parser.add_argument("--repeats", type=int, default=3, help="default %(default)s")
    parser.add_argument("--leaks", type=int, default=200, help="of a kind; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the leaks; default %(default)s")
    parser.add_argument("--wana", type=Path, help="wana's command; installed if not given")
    parser.add_argument("--out", type=Path, default=RESULTS / "contamination.json")
    options = parser.parse_args(arguments)
    data = real_data(TRAIN, TEST, ALPACA)
    if data is None:
        return 0
    wana = options.wana or install_wana()
    result = measure(data, wana, options.repeats, options.leaks, options.seed)
    machine = machine_facts(["numpy"]) | {"peer": WANA}
    write_result(options.out, result | {"machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
