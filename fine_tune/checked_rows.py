"""A trainer whose rows are those that an export promises, and then what methods make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fine_tune.balance import row_weights
from fine_tune.collate import LOSS_WEIGHTS
from fine_tune.files import CACHE_FOLDER, CHECKPOINTS_FOLDER
from fine_tune.method_rows import weigh_rows
from fine_tune.prepared_rows import (
    TokenCount,
    load_split,
    load_trained,
    promised_counts,
    rendered_rows,
    trained_rows,
)
from fine_tune.settings import TrainSettings
from fine_tune.trainer import build_trainer, load_chat_tokenizer, prepared_rows
from fine_tune.verify_tokens import ROWS_NAMED, SplitRows, compare_labels, require_promised
from storage.exports_manifest import SCORE_PREFIX, SPLITS, ExportManifest, Split, SplitCounts
from storage.source_paths import has_name

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
    export: Path, manifest: ExportManifest, model: Path, output: Path, settings: TrainSettings
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
    trainer = build_trainer(model, splits, settings, output / CHECKPOINTS_FOLDER)
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
    rows, notes = weigh_rows(prepared["train"], conversations, settings.methods, tokenizer)
    trainer.train_dataset = rows
    notes += trainer.prepare_methods(settings.seed)
    return CheckedTrainer(trainer, totals["train"], tuple(notes))


def weighted_rows(
    rows: Dataset, *, balance: Literal["source"] | Mapping[str, float] | None
) -> Dataset:
    """Rows with what their tokens count in the loss: the turn's weight, and what balances sources.

    Rows whose trained tokens all count 1 are without.

    Raises:
        ValueError: if a source has none of the names that balance gives weights to, or several.
    """
    ready = LOSS_WEIGHTS in rows.column_names  # of token ids: a weight for each
    columns = rows.with_format("numpy")
    # A list, for rows have different lengths; one weight counts for all tokens of its row.
    own = list(columns[LOSS_WEIGHTS]) if ready else list(np.array(columns["weight"])[:, None])
    factors = np.ones(len(rows))
    if balance:
        tasks, weights = rows["source"], None
        if balance != "source":
            tasks, weights = task_names(tasks, balance), balance
        factors = row_weights(np.array(tasks), np.array(rows["loss_tokens"]), weights)
    # 0 is the weight of a token that is read only.
    alike = all(np.isin(weights, (0, 1)).all() for weights in own)
    rest = rows.remove_columns(LOSS_WEIGHTS) if ready else rows
    if alike and not balance:
        return rest
    weighed = [(ws * f).astype(np.float32) for ws, f in zip(own, factors, strict=True)]
    return rest.add_column(LOSS_WEIGHTS, weighed)


def task_names(sources: Iterable[str], names: Iterable[str]) -> list[str]:
    """What a recipe calls the source of each row.

    Raises:
        ValueError: if a source has none of the names, or several.
    """
    rows = list(sources)
    called = {each: [name for name in names if has_name(each, name)] for each in set(rows)}
    for source, found in sorted(called.items()):
        if len(found) != 1:
            raise ValueError(
                f"train.balance: {source} has {len(found)} of the names {', '.join(names)}: give "
                "each source one"
            )
    return [called[each][0] for each in rows]


def require_positions(limit: int | None, rows: Sequence[TokenCount]) -> None:
    """Refuse rows longer than the model was built for; it would train on them all the same."""
    long = [row.example_id for row in rows if limit and row.prompt_tokens + row.loss_tokens > limit]
    if long:
        raise ValueError(
            f"{len(long)} rows are longer than the {limit} tokens the model was built for, "
            f"{', '.join(long[:ROWS_NAMED])} among them"
        )


def require_scores(rows: Dataset, scores: Sequence[str]) -> None:
    """Refuse rows that lack a score which the loss reads.

    Raises:
        ValueError: naming the score.
    """
    for name in scores:
        column = f"{SCORE_PREFIX}{name}"
        if column not in rows.column_names:
            raise ValueError(
                f"the export has no scores {name!r}, which a method of the training reads: add "
                f"{name} to export.scores in the recipe, and export again"
            )
        missing = [
            each
            for each, value in zip(rows["example_id"], rows[column], strict=True)
            if value is None or not np.isfinite(value)
        ]
        if missing:
            raise ValueError(
                f"{len(missing)} rows have no score {name!r}, which a method of the training "
                f"reads, {', '.join(missing[:ROWS_NAMED])} among them: let a threshold drop them"
            )


def validation_rows(trainer: WeightedTrainer) -> Dataset:
    """The rows that a trainer holds out."""
    from datasets import Dataset

    rows = trainer.eval_dataset
    if not isinstance(rows, Dataset):
        raise TypeError(f"expected a Dataset of validation rows, got {type(rows).__name__}")
    return rows
