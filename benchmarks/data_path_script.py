"""The other side of benchmarks/data_path.py: what one would write in an afternoon."""

import json
import random
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from rensa import RMinHash, RMinHashLSH

WORDS, SHINGLE, PERMUTATIONS, BANDS, THRESHOLD = 13, 5, 128, 16, 0.8
WORD = re.compile(r"\w+")

taken: dict[str, float] = {}


@contextmanager
def measured(name: str) -> Iterator[None]:
    """The CPU-seconds of a block, of all threads, under a name."""
    started = time.process_time()
    yield
    taken[name] = time.process_time() - started


def words_of(text: str) -> list[str]:
    """Words in lower case."""
    return WORD.findall(text.lower())


def signature(words: list[str]) -> RMinHash:
    """Of the runs of five words."""
    sketch = RMinHash(num_perm=PERMUTATIONS, seed=0)
    sketch.update([" ".join(words[n : n + SHINGLE]) for n in range(len(words) - SHINGLE + 1)])
    return sketch


def grams(words: list[str]) -> Iterator[str]:
    """The runs of thirteen words."""
    return (" ".join(words[n : n + WORDS]) for n in range(len(words) - WORDS + 1))


def run(folder: Path) -> int:
    """Read, deduplicate, check, draw, write; returns how many rows were drawn."""
    with measured("ingest"):
        rows = pl.read_ndjson(folder / "rows.jsonl")
        texts = ["\n".join(turn["content"] for turn in each) for each in rows["messages"].to_list()]
    with measured("dedupe"):
        first = {text: n for n, text in reversed(list(enumerate(texts)))}
        unique = sorted(first.values())
        index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS)
        sketches: dict[int, RMinHash] = {}
        left = []
        for n in unique:
            sketch = signature(words_of(texts[n]))
            if any(sketch.jaccard(sketches[m]) >= THRESHOLD for m in index.query(sketch)):
                continue
            index.insert(n, sketch)
            sketches[n] = sketch
            left.append(n)
    with measured("check"):
        held = {
            gram
            for line in (folder / "evaluation.jsonl").read_text().splitlines()
            for gram in grams(words_of(json.loads(line)["prompt"]))
        }
        clean = [n for n in left if held.isdisjoint(grams(words_of(texts[n])))]
    with measured("select"):
        chosen = random.Random(0).sample(clean, len(clean) // 10)
    with measured("export"):
        table = rows[chosen]
        table.write_parquet(folder / "chosen.parquet")
        table.write_ndjson(folder / "chosen.jsonl")
    return len(chosen)


if __name__ == "__main__":
    kept = run(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"cpu_seconds": taken, "kept": kept}))
