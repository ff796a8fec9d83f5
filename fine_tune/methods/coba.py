"""CoBa: a task that converges faster than the others counts less, and one that diverges does too.

    a_k(t)  slope of the held-out loss of task k over the last `window` steps, the loss as a share
            of what it was after the warm-up; a_max(t) the same of the largest of these at each step
    RCS_k = softmax_k( K a_k(t) / sum_k |a_k(t)| )            the slower a task, the more
    ACS_k = softmax_k( -n a_k(t) / sum_s |a_k(s)| )           over its own last n slopes
    DF    = min(1, t softmax_t( -sharpness t a_max(s) / sum_s |a_max(s)| ))
    w     = softmax_k( K (DF RCS_k + (1 - DF) ACS_k) ),       at least 1 / 10 K

While all tasks learn, DF is near 1, and what lags behind counts more; once one of them gets worse,
DF falls, and what still learns counts more. The weights of `balance` are multiplied by w, which
is 1 / K until the warm-up is over; they hold for all passes and processes of an optimizer step. The
losses are kept in the checkpoints, so that a training that was killed has the same weights.

For several tasks of which some are learnt long before the others. Not for one task from several
sources, not for short trainings, of which the slopes are noise, and not without held-out rows of
every task. Costs a forward pass over `rows` held-out rows of each task after every step. No trial
of ours has shown that it helps.

Gong et al. 2024, "CoBa: Convergence Balancer for Multitask Finetuning of Large Language Models",
arXiv:2410.06741; as in the code of MFTCoder, arXiv:2311.02303, of whose losses this is the fifth.
There each step reads the next held-out batch; here it reads the same rows, so that a slope is the
model's and not that of the rows. DF is at most 1 here, so that no score counts below 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fine_tune.method import Change, TrainingMethod
from scorers.arrays import Floats

LEAST = 0.1
"""Share of the weights that all tasks have alike, where one would have less of it than that."""


class CoBa(TrainingMethod):
    """Weigh tasks by how they converge."""

    changes: ClassVar[Change] = "weights of tasks"

    method: Literal["coba"]
    rows: int = Field(default=4, ge=1, description="Held-out rows of each task that are read.")
    warm_up: int = Field(
        default=100, ge=2, description="Steps after which the weights begin to move."
    )
    window: int = Field(default=200, ge=2, description="Most steps that a slope is taken over.")
    sharpness: float = Field(
        default=5.0, gt=0, description="How fast DF falls when a task gets worse."
    )

    def task_weights(self, losses: Floats) -> Floats:
        """See TrainingMethod."""
        from scipy.special import softmax

        steps, tasks = losses.shape
        if steps < self.warm_up:
            return np.full(tasks, 1 / tasks)
        ratios = losses / losses[self.warm_up - 1]
        slopes = window_slopes(ratios, self.warm_up, self.window)  # (s, K)
        worst = window_slopes(ratios.max(axis=1, keepdims=True), self.warm_up, self.window)[:, 0]
        relative = softmax(per_mean_size(slopes[-1]))
        absolute = softmax(-per_mean_size(slopes[-self.window :])[-1])
        diverging = softmax(-self.sharpness * per_mean_size(worst))
        factor = min(1.0, len(worst) * diverging[-1])
        weights: Floats = softmax(tasks * (factor * relative + (1 - factor) * absolute))
        least = LEAST / tasks
        return (1 - LEAST) * weights + least if (weights < least).any() else weights


def task_method(methods: Iterable[TrainingMethod]) -> CoBa | None:
    """The one among some methods that weighs tasks, if there is one."""
    return next((each for each in methods if isinstance(each, CoBa)), None)


def window_slopes(values: Floats, first: int, window: int) -> Floats:
    """Slopes of straight lines through the last values, as seen after each step.

    Args:
        values: (t, m) what m curves were after each of t steps.
        first: step after which the first slope is taken, at least 2.
        window: most values that a line goes through; there are fewer at first.

    Returns:
        (t - first + 1, m) slopes per step, by least squares.
    """
    ends = np.arange(first, len(values) + 1)
    starts = np.maximum(0, ends - window)
    nothing = np.zeros((1, values.shape[1]))
    sums = np.concatenate([nothing, values.cumsum(axis=0)])
    moments = np.concatenate([nothing, (np.arange(len(values))[:, None] * values).cumsum(axis=0)])
    counts = ends - starts
    middles = (starts + ends - 1) / 2
    spread = counts * (counts**2 - 1) / 12  # sum of (step - middle)^2
    found: Floats = (
        moments[ends] - moments[starts] - middles[:, None] * (sums[ends] - sums[starts])
    ) / spread[:, None]
    return found


def per_mean_size(values: Floats) -> Floats:
    """Values (n, ...) as multiples of their mean size over the first axis; 0 where all are 0."""
    size = np.abs(values).mean(axis=0)
    found: Floats = np.divide(values, size, out=np.zeros_like(values), where=size > 0)
    return found
