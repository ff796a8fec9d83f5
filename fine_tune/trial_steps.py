"""What a training will cost, by a few steps of it that are thrown away.

The steps are the real ones, with the methods of the training, so that each method's cost shows. The
weights of tokens cost nothing in a step and are left out; scores that a loss reads are made up, and
the held-out rows of tasks and rejected answers are rows that are trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fine_tune.cost import memory_used
from fine_tune.libraries import quiet_libraries
from fine_tune.mixed_export import MixedExport
from fine_tune.settings import TrainSettings
from fine_tune.stage_settings import TrainStage
from storage.exports_manifest import SCORE_PREFIX, SplitCounts

TIMED_STEPS = 2
"""After one that is not timed: in it memory is taken, and the optimizer's state is made."""


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What a training will cost at most."""

    rows: int
    """Trained, in one pass over them; steps that drop rows may leave fewer."""
    steps: int
    tokens: int
    """Read in all passes, prompt and response."""
    seconds: float
    peak_bytes: int
    """Memory of the process, or of the GPU, at its highest so far."""
    stages: tuple[TrainPlan, ...] = ()
    """Of a training in stages: each of them; what stands above is of all together."""


def count_steps(rows: int, settings: TrainSettings) -> int:
    """Optimizer steps of a training in one process."""
    per_pass = math.ceil(rows / (settings.batch_rows * settings.gradient_accumulation))
    return settings.max_steps or math.ceil(per_pass * settings.epochs)


def tokens_read(counts: SplitCounts, settings: TrainSettings) -> float:
    """Tokens that a training reads over all its steps, of rows with these counts."""
    row = (counts.prompt_tokens + counts.loss_tokens) / counts.rows
    if settings.max_steps is None:
        return counts.rows * row * settings.epochs
    step_rows = min(counts.rows, settings.batch_rows * settings.gradient_accumulation)
    return settings.max_steps * step_rows * row


def plan_training(
    model: Path,
    rows: Sequence[Mapping[str, Any]],
    row_tokens: float,
    trained: int,
    settings: TrainSettings,
) -> TrainPlan:
    """Train a few steps on some rows, and carry their time over to the training by its tokens.

    Args:
        model: folder of the model.
        rows: conversational rows with prompt, completion, tools and source; at least one.
        row_tokens: tokens of a row in the mean, over all that may be trained.
        trained: rows of the training.
        settings: of the training.
    """
    steps = count_steps(trained, settings) * (len(settings.members()) if settings.soup else 1)
    step_rows = min(trained, settings.batch_rows * settings.gradient_accumulation)
    tokens = int(steps * step_rows * row_tokens)
    seconds, read = time_steps(model, rows, settings)
    return TrainPlan(trained, steps, tokens, seconds / read * tokens, memory_used()[1])


def plan_stages(
    model: Path,
    rows: Sequence[Mapping[str, Any]],
    sizes: Callable[[MixedExport], tuple[int, float]],
    settings: TrainSettings,
) -> TrainPlan:
    """Plan each stage by steps of its own, on the same rows.

    Args:
        model: folder of the model.
        rows: see plan_training.
        sizes: how many rows a stage draws of an export, and their tokens, together.
        settings: of the training; what it mixes is one stage where it has none.
    """
    plans = []
    for stage in settings.stages or (TrainStage(mix=settings.mix),):
        each = settings.of_stage(stage) if settings.stages else settings
        parts = [sizes(mixed) for mixed in each.mix]
        trained = sum(count for count, _ in parts)
        tokens = sum(tokens for _, tokens in parts) / trained
        plans.append(plan_training(model, rows, tokens, trained, each))
    if not settings.stages:
        return plans[0]
    return TrainPlan(
        rows=max(each.rows for each in plans),
        steps=sum(each.steps for each in plans),
        tokens=sum(each.tokens for each in plans),
        seconds=sum(each.seconds for each in plans),
        peak_bytes=max(each.peak_bytes for each in plans),
        stages=tuple(plans),
    )


def time_steps(
    model: Path, rows: Sequence[Mapping[str, Any]], settings: TrainSettings
) -> tuple[float, int]:
    """Seconds of TIMED_STEPS optimizer steps, and the tokens that they read."""
    needed = settings.batch_rows * settings.gradient_accumulation * (1 + TIMED_STEPS)
    scores = {f"{SCORE_PREFIX}{name}": 1.0 for name in settings.scores()}
    some = [{**rows[at % len(rows)], **scores} for at in range(needed)]
    short = {"max_steps": 1 + TIMED_STEPS, "save_every_steps": needed, "balance": None}
    ends: list[tuple[float, int]] = []
    with TemporaryDirectory(prefix="sluice-") as folder, quiet_libraries():
        from datasets import Dataset

        from fine_tune.cost import CostMeter
        from fine_tune.heldout_tasks import stand_in_tasks
        from fine_tune.rejected_rows import stand_in_rejected
        from fine_tune.trainer import build_trainer, prepared_rows

        tried = settings.model_copy(update=short)
        trainer = build_trainer(model, {"train": Dataset.from_list(some)}, tried, Path(folder))
        trainer.tasks = stand_in_tasks(settings, prepared_rows(trainer))
        trainer.train_dataset = stand_in_rejected(settings, prepared_rows(trainer))
        trainer.prepare_methods(settings.seed)
        meter = trainer.meter = CostMeter(Path(folder))
        trainer.on_step = lambda *_: ends.append((time.monotonic(), meter.tokens))
        trainer.train()
    return ends[-1][0] - ends[0][0], ends[-1][1] - ends[0][1]
