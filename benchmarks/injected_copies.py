"""Rows with known copies, and the exact similarity of every pair: what a search is judged by."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.text.shingles import shingle_words

Shingle = tuple[str, ...]

SHINGLE_WORDS = 5
SUFFIX = " I hope this helps you."
KINDS = ("exact", "case and punctuation", "2 % of words", "suffix")


def shingles(text: str) -> frozenset[Shingle]:
    """Word 5-grams of a text, words as Sluice cuts them; a shorter text is one shingle."""
    words = shingle_words(text)
    last = max(1, len(words) - SHINGLE_WORDS + 1)
    return frozenset(tuple(words[at : at + SHINGLE_WORDS]) for at in range(last))


def jaccard(one: frozenset[Shingle], other: frozenset[Shingle]) -> float:
    """Shared part of two sets, 0 to 1."""
    return len(one & other) / len(one | other)


def similar_pairs(texts: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """Every pair at or above the threshold, by exact comparison; nothing is estimated."""
    sets = [shingles(text) for text in texts]
    holders: dict[Shingle, list[int]] = defaultdict(list)
    found = []
    for row, own in enumerate(sets):
        shared = Counter(other for shingle in own for other in holders[shingle])
        for other, common in sorted(shared.items()):
            similarity = common / (len(own) + len(sets[other]) - common)
            if similarity >= threshold:
                found.append((other, row, similarity))
        for shingle in own:
            holders[shingle].append(row)
    return found


def change_case_and_punctuation(text: str, rng: random.Random) -> str:
    """Write a third of the words in capitals and drop the punctuation at line and word ends."""
    words = (word.upper() if rng.random() < 1 / 3 else word for word in text.split(" "))
    return re.sub(r"[.,;:!?]+(?=\s|$)", "", " ".join(words))


def change_words(text: str, rng: random.Random) -> str:
    """Replace 2 % of the words, one at least."""
    parts = re.split(r"(\w+)", text)
    places = range(1, len(parts), 2)
    for place in rng.sample(places, max(1, round(len(places) * 0.02))):
        parts[place] = "another"
    return "".join(parts)


CHANGES: Mapping[str, Callable[[str, random.Random], str]] = {
    "exact": lambda text, rng: text,
    "case and punctuation": change_case_and_punctuation,
    "2 % of words": change_words,
    "suffix": lambda text, rng: text + SUFFIX,
}


@dataclass(frozen=True, slots=True)
class Injected:
    """Base rows followed by copies of some of them."""

    texts: list[str]
    base_rows: int
    copies: dict[str, list[tuple[int, int]]]
    """Kind → pairs of rows: a base row and its copy. No base row is copied twice."""

    @property
    def involved(self) -> set[int]:
        """Rows that are a copy or have one."""
        return {row for pairs in self.copies.values() for pair in pairs for row in pair}


def inject_copies(texts: Sequence[str], base_rows: int, per_kind: int, seed: int) -> Injected:
    """Draw base rows and append copies of each kind.

    Args:
        texts: what to draw from; no two alike, best of all.
        base_rows: how many rows to draw.
        per_kind: copies of each of the four kinds.
        seed: of the draw and of the changes.
    """
    rng = random.Random(seed)
    base = rng.sample(list(texts), base_rows)
    copied = rng.sample(range(base_rows), per_kind * len(CHANGES))
    result, copies = list(base), {}
    for number, (kind, change) in enumerate(CHANGES.items()):
        rows = copied[number * per_kind : (number + 1) * per_kind]
        copies[kind] = [(row, len(result) + at) for at, row in enumerate(rows)]
        result += [change(base[row], rng) for row in rows]
    return Injected(result, base_rows, copies)
