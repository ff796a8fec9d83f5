"""What is kept of distributions; the entropies are tested where texts are read."""

import math

import pytest
import torch

from scorers.measures.reading.vocabulary_head import summarise


def test_the_error_is_the_length_of_what_is_missing_to_certainty_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]).log()
    logits[2] = torch.tensor([-90.0, -90.0, 9.0])
    found = summarise(logits, torch.tensor([[1, 0], [2, 2], [0, 2]]))
    expected = [math.sqrt(0.5**2 + 0.7**2 + 0.2**2), math.sqrt(2 / 9 + 4 / 9), math.sqrt(2)]
    assert found.errors.tolist() == pytest.approx(expected, rel=1e-6)
    assert found.log_probabilities[0].exp().tolist() == pytest.approx([0.3, 0.5])
    parts = [-p * math.log(p) for p in (0.5, 0.3, 0.2)]
    assert found.entropies[0].item() == pytest.approx(sum(parts)), "the weights are put back"
    assert found.entropies[1].item() == pytest.approx(math.log(3))


def test_a_small_error_keeps_its_digits() -> None:
    # p = 1 / (1 + 2e-6): one token of 1e-6 and one of 1e-6 beside it
    logits = torch.tensor([[0.0, math.log(1e-6), math.log(1e-6)]])
    (error,) = summarise(logits, torch.tensor([[0]])).errors.tolist()
    assert error == pytest.approx(math.sqrt(4e-12 + 2e-12), rel=0.05)
