"""Random projection: long vectors made short, their angles kept.

    y_k = sum_p x_p s_pk,   s_pk = +1 or -1

The signs (Rademacher) are a hash of seed, p and k, so that they need no memory, are the same on
every device, and do not depend on how the sum is cut into blocks. The cosine of two projected
vectors differs from that of the vectors themselves by about 1 / sqrt(dimension).

Johnson and Lindenstrauss; as a means against the size of gradients: Park et al. 2023, "TRAK",
arXiv:2303.14186. The hash is the finaliser of SplitMix64.
"""

import torch
from torch import Tensor

SIGNS_CPU = 1 << 22
SIGNS_GPU = 1 << 26
"""Signs that are in memory at a time, 4 bytes each."""

GOLDEN = 0x9E3779B97F4A7C15
FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
WORD = 64


def project(vectors: Tensor, dimension: int, seed: int) -> Tensor:
    """(b, p) float32 vectors as (b, dimension), not scaled."""
    most = SIGNS_CPU if vectors.device.type == "cpu" else SIGNS_GPU
    size = max(1, most // dimension)
    projected = torch.zeros(len(vectors), dimension, device=vectors.device)
    for start in range(0, vectors.shape[1], size):
        part = vectors[:, start : start + size]
        projected += part @ signs(start, part.shape[1], dimension, seed, vectors.device)
    return projected


def signs(start: int, count: int, dimension: int, seed: int, device: torch.device) -> Tensor:
    """(count, dimension) signs as float32, of the positions from `start` on."""
    words = -(-dimension // WORD)
    numbers = torch.arange(start * words, (start + count) * words, device=device)
    hashed = _mix(numbers * _signed(GOLDEN) + _signed(GOLDEN * (seed + 1)))
    octets = hashed.view(torch.uint8).view(count, words * (WORD // 8), 1)
    bits = (octets >> torch.arange(8, dtype=torch.uint8, device=device)) & 1
    flat = bits.view(count, words * WORD)[:, :dimension]
    return flat.to(torch.float32).mul_(2).sub_(1)


def _mix(numbers: Tensor) -> Tensor:
    """Every bit of the result depends on every bit of the number."""
    for shift, factor in zip((30, 27), FACTORS, strict=True):
        numbers = (numbers ^ _shifted(numbers, shift)) * _signed(factor)
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, by: int) -> Tensor:
    """The numbers shifted to the right as if they had no sign."""
    return (numbers >> by) & ((1 << (WORD - by)) - 1)


def _signed(number: int) -> int:
    """The signed number with the same 64 bits."""
    low: int = number & ((1 << WORD) - 1)
    return low - (1 << WORD) if low >= 1 << (WORD - 1) else low
