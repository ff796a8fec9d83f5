"""What a row would do to the adapters, and what a target asks of them, at each checkpoint (LESS).

Of a row of the pool the direction in which Adam would move the adapters if it were the next batch,

    Gamma = m' / sqrt(v' + eps),   m' = b1 m + (1 - b1) g,   v' = b2 v + (1 - b2) g^2

with the state m, v of the optimizer at the checkpoint; of a target the plain gradient g of its mean
loss per response token. Both are projected at random to a few thousand numbers and put to unit
length, so that their product is the cosine of an angle: without that, short rows, whose gradients
are long, would win.

The released code has eps inside the root and no correction of the bias of m and v: "code". The
optimizer itself has m' and v' corrected and eps outside: "textbook". Where v is tiny the two differ
by a factor of a hundred.

Xia et al. 2024, "LESS", arXiv:2402.04333.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from scorers.measures.losses import State
from scorers.measures.training.adapter_training import (
    AdapterSettings,
    checkpoint_folders,
    epoch_rates,
    make_trainer,
)
from scorers.measures.training.projection import project
from scorers.measures.training.recorded_losses import UnreadRow, find_unread_rows

if TYPE_CHECKING:
    from torch import Tensor

    from scorers.measures.reading.chat_format import RenderedExample
    from scorers.measures.training.proxy_training import AdamMoments, ProxyTrainer

Adam = Literal["code", "textbook"]

BETAS = (0.9, 0.999)
EPS = 1e-8  # of the optimizer, torch's defaults

GRADIENT_BYTES_CPU = 1 << 28
GRADIENT_BYTES_GPU = 1 << 32  # of the gradients that are projected together


@dataclass(frozen=True, slots=True)
class Gradients:
    """Directions of n rows at c checkpoints, aligned with the rows given."""

    vectors: NDArray[np.float32]  # (n, c, d) of unit length; NaN in a row whose state is not "ok"
    rates: list[float]  # (c,) mean learning rate of the epoch that led to each checkpoint
    states: list[State]
    details: list[str | None]  # (n,) why the state is not "ok"


@dataclass(frozen=True, slots=True)
class Projection:
    """What becomes of a gradient."""

    dimension: int
    seed: int
    adam: Adam | None  # how Adam's update is written; None for the plain gradient


def adam_direction(gradient: Tensor, moments: AdamMoments, written: Adam) -> Tensor:
    """(p,) where Adam would go next.

    Args:
        gradient: (p,)
        moments: of the training so far.
        written: "code": eps inside the root, nothing corrected; "textbook": as the optimizer does.
    """
    mean = BETAS[0] * moments.mean + (1 - BETAS[0]) * gradient  # m'
    square = BETAS[1] * moments.square + (1 - BETAS[1]) * gradient.square()  # v'
    if written == "code":
        return mean / (square + EPS).sqrt()
    steps = moments.steps + 1  # with the one that this gradient would be
    corrected = square / (1 - BETAS[1] ** steps)
    return mean / (1 - BETAS[0] ** steps) / (corrected.sqrt() + EPS)


def record_gradients(
    model: Path,
    rows: Sequence[RenderedExample],
    settings: AdapterSettings,
    directory: Path,
    projection: Projection,
) -> Gradients:
    """Take the direction of each row at each checkpoint of a finished warm-up.

    Args:
        model: folder of the model that was warmed up.
        rows: n rows as token ids.
        settings: of the warm-up.
        directory: of the warm-up.
        projection: what is taken, and how short it is made.

    Returns:
        Directions of all rows. "truncated": longer than the window. "not_applicable": without a
        response token. "failed": a gradient that is zero or not finite.
    """
    problems = find_unread_rows(model, rows, settings.training)
    used = [at for at, problem in enumerate(problems) if problem is None]
    folders = checkpoint_folders(directory, settings.training.epochs)
    vectors = np.full((len(rows), len(folders), projection.dimension), np.nan, dtype=np.float32)
    if used:
        readable = [rows[at] for at in used]
        trainer = make_trainer(model, readable, settings)
        for checkpoint, folder in enumerate(folders):
            trainer.load(folder)
            vectors[used, checkpoint] = directions(trainer, readable, projection)
    for at in used:
        if not np.isfinite(vectors[at]).all():
            problems[at] = UnreadRow("failed", "its gradient is zero or not finite")
            vectors[at] = np.nan  # a row that lacks one checkpoint loses the others too
    states: list[State] = [problem.state if problem else "ok" for problem in problems]
    details = [problem.detail if problem else None for problem in problems]
    return Gradients(vectors, epoch_rates(directory), states, details)


def directions(
    trainer: ProxyTrainer, rows: Sequence[RenderedExample], projection: Projection
) -> NDArray[np.float32]:
    """(n, d) unit vectors of the rows at the weights that the trainer has; NaN where there is none.

    The signs of the projection are made once for many rows, which takes as long as the sums.
    """
    moments = trainer.moments() if projection.adam else None
    width = sum(parameter.numel() for parameter in trainer.parameters.values())
    on_cpu = trainer.model.device.type == "cpu"
    most = GRADIENT_BYTES_CPU if on_cpu else GRADIENT_BYTES_GPU
    together = max(1, most // (4 * width))  # rows, at 4 bytes for each number of a gradient
    parts = []
    for start in range(0, len(rows), together):
        taken = []
        for row in rows[start : start + together]:
            gradient = gradient_of(trainer, row)
            if projection.adam and moments:
                gradient = adam_direction(gradient, moments, projection.adam)
            taken.append(gradient)
        short = project(torch.stack(taken), projection.dimension, projection.seed).double()
        lengths = short.norm(dim=1, keepdim=True)
        lengths[lengths == 0] = math.nan  # without a direction, rather than one of no length
        parts.append((short / lengths).float().cpu().numpy())
    return np.concatenate(parts)


def gradient_of(trainer: ProxyTrainer, row: RenderedExample) -> Tensor:
    """(p,) gradient of the row's mean loss per response token, in the order of the parameters."""
    parameters = trainer.parameters.values()
    for parameter in parameters:
        parameter.grad = None  # `accumulate` adds to what is there
    trainer.accumulate([row], row.loss_tokens)
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
