"""MeZO: the gradient along one random direction, from two forward passes and no backward one.

    g = (L(theta + spread z) - L(theta - spread z)) / (2 spread) z        z ~ N(0, 1), of the step

The loss is that of the training, dropout off; the step is plain gradient descent. For models whose
backward pass does not fit in memory. Not where it fits: it needs some hundred times the steps, at
rates of 1e-6 for all weights, 1e-4 for LoRA (spread 0.01). Saves what a backward pass keeps and the
optimizer's state; costs two forward passes.

Malladi et al. 2023, "Fine-Tuning Language Models with Just Forward Passes", arXiv:2305.17333. The
direction of a step is drawn by its seed and number, and each pass of a step goes along the same
one. Unlike there weights are copied to be put back exactly, and the estimate is put down as a
gradient: that takes the memory of the trained weights twice more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod

if TYPE_CHECKING:
    import torch


class MeZO(TrainingMethod):
    """Estimate the gradient by forward passes."""

    changes: ClassVar[Change] = "gradient"

    method: Literal["mezo"]
    spread: float = Field(default=1e-3, gt=0, description="How far weights are moved to compare.")

    def take_gradient(
        self, model: torch.nn.Module, loss: Callable[[], torch.Tensor], seed: int
    ) -> torch.Tensor:
        """See TrainingMethod."""
        import torch

        trained = [each for each in model.parameters() if each.requires_grad]
        training = model.training
        model.eval()
        with torch.no_grad():
            kept = [each.clone() for each in trained]
            losses = []
            for side in (1.0, -1.0):
                draw = torch.Generator(trained[0].device).manual_seed(seed)
                for parameter, before in zip(trained, kept, strict=True):
                    parameter.copy_(before + side * self.spread * direction(parameter, draw))
                losses.append(loss())
            slope = (losses[0] - losses[1]) / (2 * self.spread)
            draw = torch.Generator(trained[0].device).manual_seed(seed)
            for parameter, before in zip(trained, kept, strict=True):
                parameter.copy_(before)
                estimate = slope * direction(parameter, draw)
                parameter.grad = estimate if parameter.grad is None else parameter.grad + estimate
        model.train(training)
        return (losses[0] + losses[1]) / 2


def direction(parameter: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """The next part of a random direction."""
    import torch

    return torch.randn(
        parameter.shape, generator=draw, device=parameter.device, dtype=parameter.dtype
    )
