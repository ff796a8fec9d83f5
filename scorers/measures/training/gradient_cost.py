"""What warm-up and gradients will cost, measured on a few rows with the same code; none is kept.

The signs of a projection are made once for all rows that are projected together. Of a few rows
they are a larger part, so that for adapters of a high rank the prediction is too high, not too low.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scorers.measures.training.adapter_training import AdapterSettings, make_trainer
from scorers.measures.training.gradients import Projection, directions

if TYPE_CHECKING:
    from scorers.measures.reading.chat_format import RenderedExample


@dataclass(frozen=True, slots=True)
class GradientCost:
    """Seconds for each token, prompt and response."""

    train: float  # of one pass of the warm-up
    record: float  # of the gradients at one checkpoint, projected


def time_gradients(
    model: Path, rows: Sequence[RenderedExample], settings: AdapterSettings, projection: Projection
) -> GradientCost:
    """Train on some rows for a pass, and take the direction of each.

    Args:
        model: folder of the model.
        rows: a few rows, at least one, none without a response and none longer than the window.
        settings: of the warm-up that is planned.
        projection: of the gradients that are planned.
    """
    small = replace(settings.training, batch_rows=min(settings.training.batch_rows, len(rows)))
    trainer = make_trainer(model, rows, replace(settings, training=small))
    trainer.step()  # the first is slower: memory is taken, kernels are chosen
    trainer.steps_taken = 0  # so that the untimed step is not of the pass
    started = time.perf_counter()
    steps = trainer.schedule.steps // small.epochs
    for _ in range(steps):
        trainer.step()
    trained = time.perf_counter()
    directions(trainer, rows, projection)
    recorded = time.perf_counter()
    tokens = sum(len(row.prompt) + len(row.response) for row in rows)
    return GradientCost(train=(trained - started) / tokens, record=(recorded - trained) / tokens)
