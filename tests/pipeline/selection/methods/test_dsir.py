"""Weights by hand, and a draw that is uniform where targets are like the pool."""

import numpy as np
import pytest
from scipy.stats import chisquare

from pipeline.ranking.budget import Budget
from pipeline.selection.methods import dsir
from pipeline.selection.methods.dsir import NGramWeights, log_weights, select_dsir

N = 400
IDS = np.array([f"{at:04}" for at in range(N)], dtype=object)
WORDS = np.array(
    ["the", "a", "of", "in", "on", "is", "was", "one", "two", "three", "four", "five", "six"]
)


def sentences(seed: int, count: int, words: np.ndarray = WORDS) -> list[str]:
    return [" ".join(row) for row in np.random.default_rng(seed).choice(words, (count, 8))]


def test_the_weight_of_a_row_by_hand() -> None:
    """Of "a b" the n-grams are a, b and ab; of "b" the word, and the pair that its end makes."""
    texts, targets = ["a b", "b b b"], ["a b"]
    many = NGramWeights(buckets=1_000_003)  # no two n-grams share one
    # Of the pool's eight n-grams a is 1, b 4, ab 1, bb 2; of the targets' three each is 1.
    third, e = 1 / 3, 1e-8
    first = np.log([third / (1 / 8), third / (4 / 8), third / (1 / 8)]).sum()
    second = 3 * np.log(third / (4 / 8)) + 2 * np.log(e / (2 / 8))
    np.testing.assert_allclose(log_weights(texts, targets, many), [first, second], rtol=1e-6)
    mean = log_weights(texts, targets, NGramWeights(1_000_003, per_ngram=True))
    np.testing.assert_allclose(mean, [first / 3, second / 5], rtol=1e-6)


def test_blocks_and_the_order_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, targets = sentences(0, N), sentences(1, 9)
    weights = log_weights(texts, targets, NGramWeights())
    monkeypatch.setattr(dsir, "TEXTS_AT_ONCE", 7)
    order = np.random.default_rng(2).permutation(N)
    shuffled = log_weights([texts[at] for at in order], targets[::-1], NGramWeights())
    np.testing.assert_array_equal(shuffled, weights[order])


def test_targets_like_the_pool_draw_it_uniformly() -> None:
    texts = sentences(0, N)
    weights = log_weights(texts, texts, NGramWeights())
    np.testing.assert_allclose(weights, 0, atol=1e-9)
    counts = np.zeros(N)
    for seed in range(200):
        counts[select_dsir(weights, IDS, Budget(rows=100), seed=seed).indices] += 1
    assert chisquare(counts).pvalue > 0.01
    all_of_it = select_dsir(weights, IDS, Budget(rows=N))
    assert sorted(all_of_it.indices) == list(range(N))


def test_a_planted_domain_is_drawn_far_more_often_and_not_by_rank_alone() -> None:
    law = np.array(["court", "clause", "plaintiff", "the", "of", "in", "writ", "tort"])
    texts = [*sentences(0, N - 20), *sentences(1, 20, law)]
    weights = log_weights(
        texts, sentences(2, 30, law), NGramWeights(smoothing=1e-3, per_ngram=True)
    )
    picked = select_dsir(weights, IDS, Budget(rows=20)).indices
    assert (picked >= N - 20).mean() >= 5 * 20 / N
    assert picked.tolist() != np.argsort(-weights)[:20].tolist()
    sharp = log_weights(texts, sentences(2, 30, law), NGramWeights())
    assert (select_dsir(sharp, IDS, Budget(rows=20)).indices >= N - 20).all()


def test_rows_are_drawn_in_proportion_to_their_weights() -> None:
    weights, two = np.log(np.array([3.0, 1.0])), Budget(rows=1)
    first = [select_dsir(weights, IDS[:2], two, seed=seed).indices[0] == 0 for seed in range(2000)]
    assert np.mean(first) == pytest.approx(0.75, abs=0.04)


def test_rows_without_a_word_and_targets_themselves_are_out() -> None:
    weights = log_weights(["a b", "", "a"], ["a b"], NGramWeights())
    assert np.isnan(weights).tolist() == [False, True, False]
    own = np.array([True, False, False])
    outcome = select_dsir(weights, IDS[:3], Budget(rows=3), own=own)
    assert outcome.reasons.tolist() == ["is_target", "no_score", ""]
    with pytest.raises(ValueError, match="no target has a word"):
        log_weights(["a"], [""], NGramWeights())
