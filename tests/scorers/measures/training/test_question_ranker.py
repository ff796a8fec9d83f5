"""The ranker: its losses by hand, and that it learns an order."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from scorers.measures.training.question_ranker import (
    QuestionPair,
    QuestionRanker,
    RankerSettings,
    loss_of,
)
from tests.scorers.measures.training.test_cappy import encoder, words

__all__ = ["encoder"]


def test_the_losses_by_hand() -> None:
    better, worse = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 0.0])
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert float(loss_of(better, worse, "pairwise")) == pytest.approx(expected)
    same = torch.zeros(3)
    assert float(loss_of(same, same, "pairwise")) == pytest.approx(math.log(2))
    assert float(loss_of(same, same, "means")) == 0
    sigmoid = 1 / (1 + math.exp(-2))
    assert float(loss_of(better, worse, "means")) == pytest.approx(0.5 - (sigmoid + 0.5) / 2)
    assert float(loss_of(worse, better, "means")) == pytest.approx((sigmoid + 0.5) / 2 - 0.5)


def test_it_learns_which_question_is_better_and_the_same_seed_gives_the_same(encoder: Path) -> None:
    pairs = [QuestionPair(words(n), words(7, n), words(9, n)) for n in range(10, 18)]
    settings = RankerSettings(epochs=8, learning_rate=3e-3, max_tokens=32)

    def learnt() -> np.ndarray:
        ranker = QuestionRanker.from_directory(encoder, 32, seed=1)
        ranker.learn(pairs, settings)
        asked = [(words(30), words(7, 30)), (words(30), words(9, 30))]
        return ranker.rank(asked)

    first = learnt()
    assert first[0] > first[1] + 0.5
    assert learnt().tolist() == first.tolist()
    untouched = QuestionRanker.from_directory(encoder, 32, seed=1)
    before = untouched.rank([(words(30), words(7, 30))])
    untouched.learn([], settings)
    assert untouched.rank([(words(30), words(7, 30))]).tolist() == before.tolist()
