"""Random projection: long vectors made short, their angles kept.

    y_k = sum_p x_p s_pk,   s_pk = +1 or -1

The signs (Rademacher) are a hash of seed, p and k, so that they need no memory, are the same on
every device, and do not depend on how the sum is cut into blocks. The cosine of two projected
vectors differs from that of the vectors themselves by about 1 / sqrt(dimension).

Johnson and Lindenstrauss; as a means against the size of gradients: Park et al. 2023, "TRAK",
arXiv:2303.14186.
"""

import torch
from torch import Tensor

from scorers.measures.splitmix64 import GOLDEN, mix, signed

SIGNS_CPU = 1 << 22  # in memory at a time, 4 bytes each
SIGNS_GPU = 1 << 26

WORD = 64  # signs that one hash gives


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
    words = -(-dimension // WORD)  # rounded up; what is too much is cut off below
    # Position p has the numbers p * words to p * words + words - 1, whatever block it comes in.
    numbers = torch.arange(start * words, (start + count) * words, device=device)
    hashed = mix(numbers * GOLDEN + signed(GOLDEN * (seed + 1)))
    octets = hashed.view(torch.uint8).view(count, words * (WORD // 8), 1)
    bits = (octets >> torch.arange(8, dtype=torch.uint8, device=device)) & 1
    flat = bits.view(count, words * WORD)[:, :dimension]
    return flat.to(torch.float32).mul_(2).sub_(1)  # 0 and 1 → -1 and 1
