from hashlib import blake2b

import numpy as np

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.random import random_keys, select_random

IDS = np.array([f"{i:032x}" for i in range(2000)], dtype=object)


def picks(rows: int, seed: int, ids: np.ndarray = IDS) -> set[str]:
    return set(ids[select_random(ids, Budget(rows=rows), seed=seed).indices])


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert picks(200, 1) == picks(200, 1)
    # Two draws of a tenth share a tenth: 20 of 200, with a standard deviation of 4.
    assert 4 < len(picks(200, 1) & picks(200, 2)) < 36


def test_draws_uniformly() -> None:
    # A row is in a draw of 200 of 2000 with probability 0.1: 20 of 200 seeds, deviation 4.2.
    counts = np.zeros(2000)
    for seed in range(200):
        counts[select_random(IDS, Budget(rows=200), seed=seed).indices] += 1
    assert counts.sum() == 200 * 200
    assert counts.max() < 40
    assert abs(counts.std() - np.sqrt(200 * 0.1 * 0.9)) < 0.3
    assert abs(counts[:1000].mean() - 20) < 0.6


def test_a_larger_budget_adds_rows_and_drops_none() -> None:
    assert picks(100, 3) < picks(101, 3) < picks(900, 3)


def test_new_rows_leave_the_order_of_the_others_as_it_was() -> None:
    grown = np.append(IDS, [f"new {i}" for i in range(20)])
    before, after = picks(200, 5), picks(200, 5, grown)
    assert len(before - after) == len(after & set(grown[2000:])) < 10


def test_methods_with_one_seed_do_not_draw_the_same_rows() -> None:
    one, other = random_keys(IDS, 0, "random"), random_keys(IDS, 0, "s2l")
    assert abs(np.corrcoef(one.astype(float), other.astype(float))[0, 1]) < 0.1


def test_keys_are_what_they_always_were() -> None:
    ids = ["", "a", "é" * 100]
    keys = [
        blake2b(each.encode(), digest_size=8, key=b"12", person=b"held out").digest()
        for each in ids
    ]
    expected = [int.from_bytes(key, "little") for key in keys]
    assert random_keys(ids, 12, "held out").tolist() == expected
    assert random_keys(iter(ids), 12, "held out").tolist() == expected
    assert random_keys(["0" * 32], 0, "random").tolist() == [923_447_315_718_386_613]
    assert random_keys([], 0, "random").tolist() == []


def test_reasons() -> None:
    outcome = select_random(IDS[:3], Budget(rows=1))
    assert sorted(outcome.reasons) == ["", "over_budget", "over_budget"]
    assert np.isnan(outcome.value).all()
