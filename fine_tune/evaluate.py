"""Held-out loss: how surprised a model is by responses it was not trained on.

    loss = sum over all response tokens of -log p(token | everything before it) / their number

Every token counts the same. The trainer's own `eval_loss` does not: it is a mean over batches of
means over tokens, and moves with the batch size. The numbers here do not.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fine_tune.libraries import quiet_libraries
from fine_tune.prepared_rows import load_split, promised_tokens, trained_tokens
from fine_tune.report import HeldOutLoss
from fine_tune.verify_tokens import TokenMismatchError, differing_rows, require_chat_template
from scorers.measures.batches import batches_of_like_length
from storage.exports_manifest import Split, read_manifest

if TYPE_CHECKING:
    from datasets import Dataset

    from fine_tune.trainer import AdapterTrainer

TOKENS_PER_BATCH = 4096  # padding included; a longer row is a batch of its own


def heldout_loss(
    model: Path, adapter: Path | None, export: Path, split: Split = "validation"
) -> HeldOutLoss:
    """Mean loss per response token of a split.

    Args:
        model: folder of a causal language model and its tokenizer.
        adapter: folder of a LoRA adapter for it; None for the model as it is.
        export: an export.
        split: one of its splits.

    Raises:
        FileNotFoundError: if the folder is not a finished export.
        ValueError: if the export has no rows in the split.
        TokenMismatchError: if the tokens are not those that the export counts.
    """
    manifest = read_manifest(export)
    require_chat_template(manifest)
    if not manifest.counts(split).rows:
        raise ValueError(f"export {manifest.name!r} has no rows in its {split} split")
    with TemporaryDirectory(prefix="sluice-") as folder, quiet_libraries():
        from fine_tune.trainer import build_evaluator, prepared_rows

        rows = load_split(export, split, Path(folder))
        trainer = build_evaluator(model, adapter, rows, Path(folder))
        prepared = prepared_rows(trainer)
        # A dropped or cut row would make it the loss of another set.
        if found := differing_rows(split, promised_tokens(rows), trained_tokens(prepared)):
            raise TokenMismatchError(found)
        return loss_of_rows(trainer, prepared)


def loss_of_rows(trainer: AdapterTrainer, prepared: Dataset) -> HeldOutLoss:
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
