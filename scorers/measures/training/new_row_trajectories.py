"""Trajectories of rows that came after the proxy's training, from the weights that were kept.

    L[i, c] = mean negative log-likelihood per response token of row i under the weights kept at c

The numbers are those the row would have got in the training's own run, had it been among the rows
that are recorded and not trained on. One load and one forward pass for each recorded step, and
nothing is written: a killed reading starts again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scorers.measures.models.devices import resolve_device
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.training.proxy_schedule import ProxySettings
from scorers.measures.training.recorded_losses import (
    Trajectories,
    find_unread_rows,
    forward_precision,
    mean_losses,
    with_states,
)
from scorers.measures.training.trajectory_files import kept_models

if TYPE_CHECKING:
    from scorers.measures.reading.chat_format import RenderedExample


def record_new_rows(
    directory: Path, rows: Sequence[RenderedExample], settings: ProxySettings
) -> Trajectories:
    """Take the loss of rows at each recorded step of a training that is over.

    Args:
        directory: of a finished `record_trajectories` that kept its checkpoints.
        rows: n rows as token ids of the proxy's tokenizer; not among those it was trained on.
        settings: of that training; `max_tokens`, `dtype` and `device` are looked at.

    Returns:
        As from `record_trajectories`, none of the rows marked as trained.

    Raises:
        FileNotFoundError: if the training is not finished, or one of its checkpoints is gone.
    """
    models = kept_models(directory)
    if not models:
        raise FileNotFoundError(
            f"{directory} does not hold the checkpoints of a finished training: train the proxy "
            "again, with keep_checkpoints"
        )
    problems = find_unread_rows(next(iter(models.values())), rows, settings)
    used = [at for at in range(len(rows)) if problems[at] is None]
    losses = np.full((len(rows), len(models)), np.nan)
    device = resolve_device(settings.device)
    for column, folder in enumerate(models.values() if used else ()):  # none is loaded for no row
        model = HuggingFaceLanguageModel.from_directory(folder, "float32", device)
        with forward_precision(device, settings):
            losses[used, column] = mean_losses(model, [rows[at] for at in used])
    return with_states(list(models), losses, np.zeros(len(rows), dtype=np.bool_), problems)
