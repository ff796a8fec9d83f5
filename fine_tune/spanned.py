"""Weights that move within the span of some directions: what is trained is where in it they are."""

import torch
from torch.nn.utils import parametrize


class WithinSpan(torch.nn.Module):
    """Makes weights of a matrix between: W = B R."""

    basis: torch.Tensor
    """(out, rank) orthonormal columns."""

    def __init__(self, basis: torch.Tensor) -> None:
        """Keep the directions."""
        super().__init__()
        # A buffer, so that it is kept in checkpoints beside what is trained.
        self.register_buffer("basis", basis.detach().clone().contiguous())

    def forward(self, between: torch.Tensor) -> torch.Tensor:
        """Weights (out, in) of what is trained (rank, in)."""
        return self.basis @ between

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        """What is trained, of weights in the span."""
        return self.basis.T @ weight


def train_within(layer: torch.nn.Linear, basis: torch.Tensor, between: torch.Tensor) -> None:
    """Let a linear layer have the weights basis @ between, and train `between` alone."""
    layer.weight = torch.nn.Parameter(basis @ between)
    parametrize.register_parametrization(layer, "weight", WithinSpan(basis))
    (trained,) = (each for name, each in layer.named_parameters() if "weight" in name)
    with torch.no_grad():
        trained.copy_(between)  # exactly, where the inverse is rounded


def fold_in(model: torch.nn.Module) -> None:
    """Put ordinary weights in the place of all that are made of others, as they are now."""
    for module in model.modules():
        made = getattr(module, "parametrizations", None)
        if isinstance(made, torch.nn.ModuleDict):
            for name in list(made):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
