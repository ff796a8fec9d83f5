"""Texts of several lengths as the rows of one tensor, and tensors on their way to a device."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor there; to a GPU it is on its way, while the caller prepares what comes next.

    Only memory that stays where it is can be copied meanwhile; torch keeps it until it has been.
    """
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def pad_rows(
    texts: Sequence[Sequence[int]], device: torch.device, side: str = "right"
) -> tuple[Tensor, Tensor]:
    """(rows, t) token ids, and a mask that is 1 where there is a token; zeros on the given side."""
    rows = [torch.tensor(text, dtype=torch.int64) for text in texts]
    ids, mask = (
        to_device(pad_sequence(each, batch_first=True, padding_side=side), device)
        for each in (rows, [torch.ones_like(row) for row in rows])
    )
    return ids, mask
