import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.length_matched import select_length_matched
from pipeline.selection.methods.random import select_random

N = 5000
IDS = np.array([f"{i:032x}" for i in range(N)], dtype=object)


def skewed_pool() -> tuple[np.ndarray, np.ndarray]:
    """Log-normal lengths, and 500 rows chosen with a strong preference for long ones."""
    rng = np.random.default_rng(0)
    tokens = np.round(np.exp(rng.normal(5, 0.8, N))).astype(np.int64)
    weight = tokens**1.5
    return tokens, rng.choice(N, 500, replace=False, p=weight / weight.sum())


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of two distributions of lengths (Kolmogorov and Smirnov)."""
    at = np.sort(np.concatenate((one, other)))
    shares = [np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


@pytest.mark.parametrize("seed", range(5))
def test_has_the_lengths_of_the_selection_where_random_has_not(seed: int) -> None:
    tokens, selected = skewed_pool()
    control = select_length_matched(selected, tokens, IDS, seed).indices
    plain = select_random(IDS, Budget(rows=500), seed=seed).indices
    assert len(control) == 500
    assert tokens[control].sum() == pytest.approx(tokens[selected].sum(), rel=0.02)
    assert distance(tokens[control], tokens[selected]) < 0.03
    assert tokens[plain].sum() < 0.6 * tokens[selected].sum()


def test_is_not_the_selection_again_although_few_lengths_are_shared() -> None:
    # All lengths differ: the nearest in length to a selected row is the row itself.
    tokens = 1000 + np.arange(N)
    selected = np.random.default_rng(1).choice(N, 500, replace=False)
    overlaps = [
        np.isin(select_length_matched(selected, tokens, IDS, seed).indices, selected).mean()
        for seed in range(5)
    ]
    assert 0.05 < np.mean(overlaps) < 0.15  # by chance: a tenth


def test_a_row_that_nothing_matches_stands_for_itself() -> None:
    tokens = np.append(np.full(99, 10), 10_000)
    outcome = select_length_matched(np.array([3, 99]), tokens, IDS[:100])
    assert outcome.indices[0] == 99
    assert outcome.because_of[99] == 99


def test_each_drawn_row_says_whom_it_stands_for() -> None:
    tokens, selected = skewed_pool()
    outcome = select_length_matched(selected, tokens, IDS)
    stood_for = outcome.because_of[outcome.indices]
    assert sorted(stood_for) == sorted(selected)
    np.testing.assert_array_equal(outcome.value[outcome.indices], tokens[stood_for])
    assert (np.diff(tokens[stood_for]) <= 0).all()
    assert set(outcome.reasons) == {"", "not_drawn"}


def test_the_whole_pool_matches_itself() -> None:
    tokens, _ = skewed_pool()
    assert sorted(select_length_matched(np.arange(N), tokens, IDS).indices) == list(range(N))


def test_seeds_give_different_draws() -> None:
    tokens, selected = skewed_pool()
    one, other = (set(select_length_matched(selected, tokens, IDS, s).indices) for s in (1, 2))
    assert len(one & other) < 300


@pytest.mark.parametrize("selected", [[0, 0], [-1], [5]])
def test_wrong_rows_are_refused(selected: list[int]) -> None:
    with pytest.raises(ValueError, match="distinct rows from 0 to 4"):
        select_length_matched(np.array(selected), np.ones(5, dtype=int), IDS[:5])
