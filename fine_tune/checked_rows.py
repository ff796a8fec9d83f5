"""A trainer whose rows are those that an export promises, and then what methods make of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fine_tune.balance import weighted_rows
from fine_tune.files import CACHE_FOLDER, CHECKPOINTS_FOLDER
from fine_tune.heldout_tasks import heldout_tasks
from fine_tune.mixed_rows import counts_of_rows, mix_rows, rows_looked_at
from fine_tune.prepared_rows import (
    load_split,
    load_trained,
    promised_counts,
    rendered_rows,
    trained_rows,
)
from fine_tune.rejected_rows import rows_of_methods
from fine_tune.row_checks import require_positions, require_scores, require_steps
from fine_tune.settings import TrainSettings
from fine_tune.trainer import (
    build_trainer,
    load_chat_tokenizer,
    prepared_rows,
)
from fine_tune.verify_tokens import (
    SplitRows,
    compare_labels,
    require_promised,
    total_counts,
)
from storage.exports_manifest import (
    SPLITS,
    ExportManifest,
    Split,
    SplitCounts,
)

if TYPE_CHECKING:
    from datasets import Dataset

    from fine_tune.weighted_trainer import WeightedTrainer


@dataclass(frozen=True, slots=True)
class CheckedTrainer:
    """A trainer that is ready, and what it was found to hold."""

    trainer: WeightedTrainer
    counts: SplitCounts
    """Of the train split, as the export promises them."""
    notes: tuple[str, ...]
    """What methods made of its rows and its model."""


def checked_trainer(
    export: Path,
    manifest: ExportManifest,
    model: Path,
    output: Path,
    settings: TrainSettings,
    adapter: Path | None = None,
) -> CheckedTrainer:
    """Make a trainer for an export, compare its rows with those promised, then let methods begin.

    Raises:
        TokenMismatchError: if the trainer would drop or cut a row, or train another token of it.
        ValueError: if rows are longer than the model has positions for, lack a score that a method
            reads, or a method cannot do with them or with the model.
    """
    cache = output / CACHE_FOLDER
    names = [split for split in SPLITS if manifest.counts(split).rows]
    if manifest.pretokenized:  # what TRL makes of the conversations, against the token ids
        compare_labels(export, model, settings.max_length)
    splits = {split: load_trained(manifest, export, split, cache) for split in names}
    require_scores(splits["train"], settings.scores())
    given = dict(splits)
    splits["train"] = weighted_rows(splits["train"], balance=settings.balance)
    trainer = build_trainer(model, splits, settings, output / CHECKPOINTS_FOLDER, adapter)
    prepared: dict[Split, Dataset] = {"train": prepared_rows(trainer)}
    if "validation" in splits:
        prepared["validation"] = validation_rows(trainer)
    tokenizer = load_chat_tokenizer(model)
    compared = [
        SplitRows(
            split,
            trained_rows(rows) if manifest.pretokenized else rendered_rows(rows, tokenizer),
            promised_counts(rows),
            prepared[split],
        )
        for split, rows in given.items()
    ]
    totals = require_promised(compared, manifest.trained())
    require_positions(trainer.longest_row(), [row for each in compared for row in each.counts])
    conversations = load_split(export, "train", cache)
    rows, notes = rows_of_methods(prepared["train"], conversations, settings, tokenizer)
    counts = totals["train"]
    if settings.mix:
        rows = mix_rows(rows, export, model, output, settings)
        require_positions(trainer.longest_row(), counts_of_rows(rows))
        counts = total_counts(counts_of_rows(rows))
    trainer.train_dataset = rows
    trainer.looked_at = rows_looked_at(export, model, output, settings)
    for others in trainer.looked_at.values():
        require_positions(trainer.longest_row(), counts_of_rows(others))
    require_steps(settings, -(-len(rows) // trainer.args.world_size))
    trainer.tasks = heldout_tasks(settings, given["train"], prepared.get("validation"))
    notes += trainer.prepare_methods(settings.seed)
    return CheckedTrainer(trainer, counts, tuple(notes))


def validation_rows(trainer: WeightedTrainer) -> Dataset:
    """The rows that a trainer holds out."""
    from datasets import Dataset

    rows = trainer.eval_dataset
    if not isinstance(rows, Dataset):
        raise TypeError(f"expected a Dataset of validation rows, got {type(rows).__name__}")
    return rows
