"""A forward pass that says what a test wants, and tells the gradient that came back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fine_tune.method import ForwardLosses, LossBatch
from storage.exports_manifest import IGNORED


@dataclass
class FakeLosses:
    """What a forward pass gives."""

    log_probs: torch.Tensor
    entropy: torch.Tensor
    label_mask: torch.Tensor


class FakeForward:
    """Gives the same numbers whatever it reads."""

    def __init__(
        self, log_probs: Sequence[Sequence[float]], entropy: Sequence[Sequence[float]] | None = None
    ) -> None:
        """Take (rows, tokens - 1) log-probabilities, and entropies if a method reads them."""
        self.log_probs = torch.tensor(log_probs, requires_grad=True)
        given = self.log_probs.detach().abs() if entropy is None else torch.tensor(entropy)
        self.entropy = given
        self.mask = torch.ones(self.log_probs.shape, dtype=torch.bool)

    def batch(
        self,
        scores: Mapping[str, Sequence[float]] | None = None,
        weights: Sequence[Sequence[float]] | None = None,
    ) -> LossBatch:
        """The batch whose losses these are, a row of the export in each row."""
        rows, tokens = self.log_probs.shape
        labels = torch.full((rows, tokens + 1), IGNORED)
        labels[:, 1:][self.mask] = 1
        ones = torch.ones(rows, tokens)
        return LossBatch(
            inputs={"input_ids": torch.ones_like(labels), "labels": labels},
            weights=ones if weights is None else torch.tensor(weights),
            places=torch.arange(rows)[:, None].expand(rows, tokens),
            scores={name: torch.tensor(values) for name, values in (scores or {}).items()},
            forward=self.forward,
        )

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> ForwardLosses:
        """What a model would say."""
        return FakeLosses(self.log_probs * self.mask, self.entropy * self.mask, self.mask)

    def gradient(self) -> list[float]:
        """Of the log-probabilities, row by row."""
        assert self.log_probs.grad is not None
        found: list[float] = self.log_probs.grad.flatten().tolist()
        return found
