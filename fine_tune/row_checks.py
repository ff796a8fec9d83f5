"""What an export and its rows must be for a training; refused before a step is taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fine_tune.methods.coba import task_method
from fine_tune.prepared_rows import TokenCount
from fine_tune.settings import TrainSettings
from fine_tune.trial_steps import count_steps
from fine_tune.verify_tokens import ROWS_NAMED, require_chat_template
from storage.exports_check import verify_export
from storage.exports_manifest import SCORE_PREFIX, ExportManifest

if TYPE_CHECKING:
    from datasets import Dataset


def require_trainable(export: Path, manifest: ExportManifest) -> None:
    """Refuse an export that is not what it says, or was counted in a template TRL does not know.

    Raises:
        ValueError: naming what is wrong.
    """
    require_chat_template(manifest)
    if problems := verify_export(export):
        raise ValueError(f"{export} is not what it says: {'; '.join(map(str, problems))}")


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


def require_steps(settings: TrainSettings, rows: int) -> None:
    """Refuse a training that ends before the weights of its tasks would move.

    Args:
        settings: of the training.
        rows: that one process trains in a pass over them.

    Raises:
        ValueError: if it does.
    """
    method, steps = task_method(settings.methods), count_steps(rows, settings)
    if method is not None and steps <= method.warm_up:
        raise ValueError(
            f"coba leaves weights alone in the first {method.warm_up} steps, and the training "
            f"has {steps}: set its warm_up lower, or leave it out"
        )
