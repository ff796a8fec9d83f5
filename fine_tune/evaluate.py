"""Held-out loss: how surprised a model is by responses it was not trained on.

    loss = sum over all response tokens of -log p(token | everything before it) / their number

Every token counts the same. The trainer's own `eval_loss` does not: it is a mean over batches of
means over tokens, and moves with the batch size. The numbers here do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from fine_tune.report import HeldOutLoss
from scorers.measures.batches import batches_of_like_length

if TYPE_CHECKING:
    from datasets import Dataset

TOKENS_PER_BATCH = 4096  # padding included; a longer row is a batch of its own


class RowLosses(Protocol):
    """A trainer, as far as it says the losses of rows."""

    def loss_of_batch(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> tuple[float, int]:
        """Nats of the tokens that have a label, and how many there are."""
        ...


def loss_of_rows(trainer: RowLosses, prepared: Dataset) -> HeldOutLoss:
    """Mean loss per response token with the model that a trainer holds.

    Args:
        trainer: its model is put into evaluation mode.
        prepared: rows as the trainer prepares them, with `input_ids` and `labels`.
    """
    nats, tokens = 0.0, 0
    rows = prepared.select_columns(["input_ids", "labels"])
    lengths = [len(ids) for ids in rows["input_ids"]]
    for indices in batches_of_like_length(lengths, TOKENS_PER_BATCH):
        batch_nats, batch_tokens = trainer.loss_of_batch([rows[index] for index in indices])
        nats += batch_nats  # sums, not means: batches have different numbers of tokens
        tokens += batch_tokens
    return HeldOutLoss(nats / tokens, tokens, len(rows))
