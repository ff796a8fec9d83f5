"""The loop that people write: batches of eight, padded, all logits, one pass for each question."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

BATCH_ROWS = 8


@torch.inference_mode()
def plain_losses(
    model: Any,  # noqa: ANN401 - transformers annotates few of its methods
    prefixes: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    batch_rows: int = BATCH_ROWS,
) -> NDArray[np.float64]:
    """(n,) mean nats per response token, rows in the order given."""
    means: list[float] = []
    for at in range(0, len(prefixes), batch_rows):
        before, after = prefixes[at : at + batch_rows], responses[at : at + batch_rows]
        texts = [[*prefix, *response] for prefix, response in zip(before, after, strict=True)]
        width = max(map(len, texts))
        ids = torch.zeros(len(texts), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for row, (prefix, text) in enumerate(zip(before, texts, strict=True)):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
            labels[row, len(prefix) : len(text)] = torch.tensor(text[len(prefix) :])
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), reduction="none"
        ).view(len(texts), -1)
        counts = (labels[:, 1:] != -100).sum(dim=1)
        means += (losses.double().sum(dim=1) / counts).tolist()
    return np.array(means)
