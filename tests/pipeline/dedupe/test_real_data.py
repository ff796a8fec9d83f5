"""Deduplication of 9 229 Alpaca rows, and of copies planted among them.

Needs a directory that holds instruct/alpaca_9k.json, an array of instruction, input and output:

    SLUICE_REAL_DATA=DIR pytest tests/pipeline/dedupe/test_real_data.py
"""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import orjson
import pytest

from pipeline.dedupe.minhash import remove_near_duplicates
from pipeline.text.shingles import Shingling, hash_shingles

FILE = Path(os.environ.get("SLUICE_REAL_DATA", "none")) / "instruct" / "alpaca_9k.json"
pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason="SLUICE_REAL_DATA holds no instruct/alpaca_9k.json"
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rows = orjson.loads(FILE.read_bytes())
    fields = ("instruction", "input", "output")
    return ["\n\n".join(row[name] for name in fields if row[name]) for row in rows]


def ids(n: int) -> np.ndarray:
    return np.array([f"{i:05}" for i in range(n)], dtype=object)


def edit(text: str, random: Random) -> str:
    """Replace 2 % of the words."""
    return " ".join("edited" if random.random() < 0.02 else word for word in text.split())


def test_rows_without_near_duplicates_all_stay(texts: list[str]) -> None:
    n = len(texts)
    assert len(remove_near_duplicates(texts, np.full(n, np.nan), ids(n)).indices) == n


def test_every_planted_copy_above_the_threshold_is_found_and_nothing_else(
    texts: list[str],
) -> None:
    random = Random(0)
    base, origins = texts[:2000], random.sample(range(2000), 1000)
    kinds: list[Callable[[str], str]] = [
        lambda text: text,
        lambda text: text.upper().replace(",", ";").replace(".", "!"),
        lambda text: edit(text, random),
        lambda text: text + " I hope this helps you.",
    ]
    planted = [kinds[place // 250](base[origin]) for place, origin in enumerate(origins)]
    everything = base + planted
    outcome = remove_near_duplicates(
        everything, np.repeat([1.0, 0.0], [2000, 1000]), ids(len(everything))
    )
    removed = set(np.flatnonzero(outcome.reasons))

    shingles = hash_shingles(everything, Shingling())
    sets = [shingles.of(row) for row in range(len(everything))]
    attainable = {
        place
        for place, origin in enumerate(origins, start=2000)
        if len(sets[place] & sets[origin]) / len(sets[place] | sets[origin]) >= 0.7
    }
    assert len(attainable & set(range(2000, 2500))) == 500
    assert removed == attainable
    assert all(outcome.because_of[row] == origins[row - 2000] for row in removed)
