"""Texts of several lengths as the rows of one tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def pad_rows(
    texts: Sequence[Sequence[int]], device: torch.device, side: str = "right"
) -> tuple[Tensor, Tensor]:
    """(rows, t) token ids, and a mask that is 1 where there is a token; zeros on the given side."""
    rows = [torch.tensor(text, dtype=torch.int64) for text in texts]
    ids, mask = (
        pad_sequence(each, batch_first=True, padding_side=side).to(device)
        for each in (rows, [torch.ones_like(row) for row in rows])
    )
    return ids, mask
