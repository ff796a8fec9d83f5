"""Linear layers that compute with numbers of few bits, and learn as if nothing were rounded.

    X W^T  becomes  [ Q_x(X R) R^T ] [ Q_w(W R) R^T ]^T

R is the identity or a random rotation; it is undone in each factor, so that a weight stays what it
was but for the rounding. Gradients pass through Q as they come (straight-through).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

SMALLEST_STEP = 1e-12
"""Of a row of zeros, whose numbers all round to 0 whatever the step."""


class RoundedLayer(torch.nn.Module):
    """Makes the weights that a linear layer computes with, and what it reads."""

    signs: torch.Tensor | None
    """(in,) of the rotation; None: none."""

    def __init__(
        self, signs: torch.Tensor | None, weight_bits: int, input_bits: int | None, clip: float
    ) -> None:
        """Keep what is rounded how; input_bits None: inputs are not."""
        super().__init__()
        self.register_buffer("signs", signs)
        self.weight_bits, self.input_bits, self.clip = weight_bits, input_bits, clip
        self.off = False

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Rounded weights (out, in) of those that are trained."""
        if self.off:
            return weight
        with torch.no_grad():
            turned = rotate(weight, self.signs)
            rounded = rotate_back(round_rows(turned, self.weight_bits, self.clip), self.signs)
        return rounded + (weight - weight.detach())  # exactly what is rounded; the gradient of 1

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        """What is trained, at first: the weights."""
        return weight

    def read(self, _: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """A layer's inputs (..., in) as it reads them."""
        inputs, *rest = given
        if self.off or self.input_bits is None:
            return given
        with torch.no_grad():
            turned = rotate(inputs, self.signs)
            rounded = rotate_back(round_inputs(turned, self.input_bits, self.clip), self.signs)
        return (rounded + (inputs - inputs.detach()), *rest)


def round_layer(layer: torch.nn.Linear, rounded: RoundedLayer) -> None:
    """Let a linear layer compute with rounded numbers."""
    parametrize.register_parametrization(layer, "weight", rounded)
    layer.register_forward_pre_hook(rounded.read)


@contextmanager
def unrounded(model: torch.nn.Module) -> Iterator[None]:
    """The model as it computes without rounding."""
    layers = [each for each in model.modules() if isinstance(each, RoundedLayer)]
    for each in layers:
        each.off = True
    try:
        yield
    finally:
        for each in layers:
            each.off = False


def round_rows(weights: torch.Tensor, bits: int, clip: float) -> torch.Tensor:
    """Round (out, in) to the same steps on both sides of 0, s = clip max|w| / (2^(bits - 1) - 1).

    Args:
        weights: each row has a step of its own.
        bits: of a number, at least 2.
        clip: above 0, at most 1; what lies beyond this share of the largest is cut to it.
    """
    most = 2 ** (bits - 1) - 1
    step: torch.Tensor = (clip * weights.abs().amax(-1, keepdim=True) / most).clamp(
        min=SMALLEST_STEP
    )
    numbers = (weights / step).round().clamp(-most, most)
    return numbers * step


def round_inputs(inputs: torch.Tensor, bits: int, clip: float) -> torch.Tensor:
    """Round (..., in) to the 2^bits steps between the least and the largest; 0 is one of them.

    Each token has steps of its own, so that no row's numbers depend on those beside it.
    """
    most = 2**bits - 1
    low = clip * inputs.amin(-1, keepdim=True).clamp(max=0)
    high = clip * inputs.amax(-1, keepdim=True).clamp(min=0)
    step: torch.Tensor = ((high - low) / most).clamp(min=SMALLEST_STEP)
    zero = (-low / step).round()
    numbers = ((inputs / step).round() + zero).clamp(0, most) - zero
    return numbers * step


def rotate(values: torch.Tensor, signs: torch.Tensor | None) -> torch.Tensor:
    """(..., in) values times R = diag(signs) H; as they are without signs."""
    return values if signs is None else transform(values * signs)


def rotate_back(values: torch.Tensor, signs: torch.Tensor | None) -> torch.Tensor:
    """(..., in) values times R^T = H diag(signs)."""
    return values if signs is None else transform(values) * signs


def transform(values: torch.Tensor) -> torch.Tensor:
    """(..., in) values times H: Walsh-Hadamard matrices along its diagonal, H H = 1.

    Each is as large as the largest power of 2 that divides the width: of 576, nine of 64.
    """
    width = values.shape[-1]
    size = width & -width
    found, half = values.reshape(-1, size), 1
    while half < size:
        pairs = found.reshape(-1, size // (2 * half), 2, half)
        one, other = pairs[:, :, 0], pairs[:, :, 1]
        found = torch.stack([one + other, one - other], dim=2).reshape(-1, size)
        half *= 2
    turned: torch.Tensor = found.reshape(values.shape) * size**-0.5
    return turned


def draw_signs(width: int, seed: int, place: int) -> torch.Tensor:
    """(width,) 1 or -1: those of the layer at a place among the linear ones of a model."""
    drawn: Any = np.random.default_rng([seed, place]).integers(0, 2, width)
    return torch.tensor(2.0 * drawn - 1, dtype=torch.float32)
