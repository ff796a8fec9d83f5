"""The judge of the searches for near-duplicates, by hand."""

import random

import pytest

from benchmarks.dedupe_quality import SEARCHES, attainable, judge_recall, unjust_removals
from benchmarks.injected_copies import (
    CHANGES,
    inject_copies,
    jaccard,
    shingles,
    similar_pairs,
)

TEN = "one two three four five six seven eight nine ten"
TEXTS = [f"{TEN} row {row} has its own words {row * 7} and {row * 11}" for row in range(40)]


def test_similarity_by_hand() -> None:
    # 10 words have 6 shingles of 5; without the last word 5 of the 6 are left: 5 / 6.
    assert len(shingles(TEN)) == 6
    assert jaccard(shingles(TEN), shingles(TEN.removesuffix(" ten"))) == pytest.approx(5 / 6)
    assert jaccard(shingles(TEN), shingles(TEN.upper() + "!")) == 1
    assert shingles("Too short.") == {("too", "short")}


def test_finds_every_pair_that_comparing_all_of_them_finds() -> None:
    rng = random.Random(3)
    texts = [" ".join(rng.choices("ab", (9, 1), k=rng.randint(1, 12))) for _ in range(60)]
    sets = [shingles(text) for text in texts]
    expected = {
        (one, other)
        for other in range(60)
        for one in range(other)
        if jaccard(sets[one], sets[other]) >= 0.5
    }
    assert len(expected) > 20
    assert {(one, other) for one, other, _ in similar_pairs(texts, 0.5)} == expected


def test_changes_do_what_they_are_called() -> None:
    rng = random.Random(0)
    text = "First, this. " + " ".join(f"word{number}" for number in range(98))
    changed = {kind: change(text, rng) for kind, change in CHANGES.items()}
    assert changed["exact"] == text
    shouted = changed["case and punctuation"]
    assert shouted != text and shouted.lower() == text.replace(",", "").replace(".", "").lower()
    differing = sum(
        a != b for a, b in zip(text.split(), changed["2 % of words"].split(), strict=True)
    )
    assert differing == 2
    assert changed["suffix"].startswith(text) and len(changed["suffix"]) > len(text)


def test_copies_are_of_distinct_base_rows() -> None:
    injected = inject_copies(TEXTS, base_rows=20, per_kind=4, seed=1)
    assert len(injected.texts) == 20 + 4 * 4 and len(injected.involved) == 32
    assert set(injected.copies) == set(CHANGES)
    for base, copy in injected.copies["exact"]:
        assert injected.texts[base] == injected.texts[copy] and base < 20 <= copy
    assert inject_copies(TEXTS, 20, 4, seed=1) == injected
    assert inject_copies(TEXTS, 20, 4, seed=2) != injected


def test_judges_removals_by_hand() -> None:
    injected = inject_copies(TEXTS, base_rows=20, per_kind=4, seed=1)
    (base, _), (_, copy) = injected.copies["exact"][:2]
    stranger = next(row for row in range(20) if row not in injected.involved)
    judged = judge_recall(injected, [base, copy, stranger])
    assert judged["found"] == {kind: 2 if kind == "exact" else 0 for kind in CHANGES}
    assert judged["false_removals"] == 1
    assert attainable(injected)["exact"] == attainable(injected)["case and punctuation"] == 4


def test_a_removal_is_unjust_without_a_kept_row() -> None:
    texts = [TEN, TEN + " eleven", "nothing like the others at all here"]
    assert unjust_removals(texts, []) == 0
    assert unjust_removals(texts, [1]) == 0
    assert unjust_removals(texts, [0, 1]) == 2
    assert unjust_removals(texts, [2]) == 1


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_keep_the_earlier_of_two(name: str) -> None:
    texts = [
        TEN,
        "alpha beta gamma delta epsilon zeta",
        f"{TEN}!",
        "eta theta iota kappa lambda mu",
    ]
    assert SEARCHES[name](texts) == [2]
