"""Balance tasks in the loss: large tasks and long answers do not outweigh small ones.

    case 1 = sum_i l_i / sum_i n_i            token mean: long tasks dominate
    case 2 = mean_i l_i / n_i                 row mean: tasks with many rows dominate
    case 3 = sum_k w_k (sum_i l_i / sum_i n_i) / sum_k w_k          i in task k
    case 4 = sum_k w_k mean_i(l_i / n_i) / sum_k w_k                i in task k

l_i is the loss of row i summed over its n_i trained tokens, w_k the weight of task k, 1 / K unless
given; a task without rows is left out. Case 3 is the one that the authors recommend. A trainer that
takes the token mean has it as its loss when each row counts

    r_i = (w_k / sum_j w_j) N / N_k,   N_k the tokens of task k, N those of all

times: over an epoch every task weighs the same, whatever its size. In one batch only the tasks that
are in it count, as in the authors' code; unlike there, a batch is divided by its tokens and not by
the weights in it, so that what a batch lacks of a task is not made up by the others.

For tasks that are all wanted equally though their sizes differ much, where shares of the selection
would throw rows away. Not for one task from several sources, and not where the small source is
small because little of it is good: its rows are read with a large weight, and learnt by heart.
Costs nothing. No trial of ours has shown that it helps.

Liu et al. 2023, "MFTCoder", arXiv:2311.02303; weights that follow validation losses are CoBa's,
Gong et al. 2024, arXiv:2410.06741. Tasks are told apart by name; a variant of the authors' code
merges two tasks whose weights are equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scorers.arrays import Floats, Ints, Strings, require_same_length

FLOOR = 0.1
"""No task of CoBa's weighs less than this share of an equal weight."""


@dataclass(frozen=True, slots=True)
class LossCases:
    """The same losses, averaged in four ways; nats per token."""

    token_mean: float
    row_mean: float
    task_token_mean: float
    task_row_mean: float


def row_weights(
    tasks: Strings, loss_tokens: Ints, weights: Mapping[str, float] | None = None
) -> Floats:
    """Weigh rows so that a mean over tokens is case 3.

    Args:
        tasks: (n,) the task of each row.
        loss_tokens: (n,) trained tokens of each row, at least 1.
        weights: task → weight, above 0, of every task; the same for all if not given.

    Returns:
        (n,) weights; per token their mean is 1.

    Raises:
        ValueError: if lengths differ, a row has no token, or a task no weight.
    """
    require_same_length(tasks=tasks, loss_tokens=loss_tokens)
    if (loss_tokens < 1).any():
        raise ValueError(f"{(loss_tokens < 1).sum()} rows have no trained token: leave them out")
    names, codes = np.unique(np.asarray(tasks, dtype=np.str_), return_inverse=True)
    totals = np.bincount(codes, weights=loss_tokens, minlength=len(names))
    shares = _task_shares(names, weights)
    balanced: Floats = (shares * totals.sum() / totals)[codes]
    return balanced


def loss_cases(
    losses: Floats, loss_tokens: Ints, tasks: Strings, weights: Mapping[str, float] | None = None
) -> LossCases:
    """Average losses in the four ways.

    Args:
        losses: (n,) nats, summed over the trained tokens of each row.
        loss_tokens: (n,) those tokens, at least 1.
        tasks: (n,) the task of each row.
        weights: task → weight, above 0; the same for all if not given.

    Raises:
        ValueError: if lengths differ, there is no row, one has no token, or a task no weight.
    """
    require_same_length(losses=losses, loss_tokens=loss_tokens, tasks=tasks)
    if not len(losses) or (loss_tokens < 1).any():
        raise ValueError("losses are averaged over rows with at least 1 token each")
    names, codes = np.unique(np.asarray(tasks, dtype=np.str_), return_inverse=True)
    shares = _task_shares(names, weights)
    rows, tokens, nats, means = (
        np.bincount(codes, weights=each, minlength=len(names))
        for each in (np.ones(len(losses)), loss_tokens, losses, losses / loss_tokens)
    )
    return LossCases(
        token_mean=float(losses.sum() / loss_tokens.sum()),
        row_mean=float((losses / loss_tokens).mean()),
        task_token_mean=float((shares * nats / tokens).sum()),
        task_row_mean=float((shares * means / rows).sum()),
    )


def _task_shares(names: Strings, weights: Mapping[str, float] | None) -> Floats:
    """(K,) weights of the tasks present; together 1."""
    if weights is None:
        return np.full(len(names), 1 / max(1, len(names)))
    wrong = [name for name in names.tolist() if not weights.get(name, 0) > 0]
    if wrong:
        raise ValueError(f"every task needs a weight above 0, {', '.join(wrong)} has none")
    given = np.array([weights[name] for name in names.tolist()], dtype=np.float64)
    shares: Floats = given / given.sum()
    return shares


def coba_weights(
    losses: Floats, before: Floats, window: int = 200, warm_up: int = 100, tau: float = 5.0
) -> Floats:
    """Weigh tasks by how their validation losses converge (CoBa).

        RCS = softmax_k(K a_k / sum_j |a_j|);  ACS = softmax_k(-H a_k / sum_s |a_k(s)|)
        DF = t softmax_s(-tau t A(s) / sum |A|) at s = t;  w = softmax_k(K (DF RCS + (1 - DF) ACS))

    a_k is the slope of task k's loss over the last H updates and A that of the highest loss. While
    all goes well DF is near 1, and the task that falls fastest weighs least; once some loss rises,
    DF falls, and the task that turned weighs least. DF can come out above 1, which would reward
    what ACS punishes; it is cut there.

    Args:
        losses: (s, K) validation loss of each task at each update so far, above 0.
        before: (K,) the same before training.
        window: H, updates.
        warm_up: Updates with equal weights; a slope needs two in any case.
        tau: How soon DF falls.

    Returns:
        (K,) weights; together 1, each at least FLOOR / K.

    Raises:
        ValueError: if shapes do not fit, or a loss is not a number above 0.
    """
    if losses.ndim != 2 or losses.shape[1:] != before.shape or not before.size:
        raise ValueError(f"expected losses (s, K) and (K,), got {losses.shape} and {before.shape}")
    if not ((losses > 0).all() and (before > 0).all()):
        raise ValueError("a validation loss must be a number above 0")
    updates, k = losses.shape
    if updates <= max(1, warm_up):
        return np.full(k, 1 / k)
    ratios = losses / before
    slopes = _slopes(ratios, window)
    highest = _slopes(ratios.max(axis=1, keepdims=True), window)[:, 0]
    now, recent = slopes[-1], slopes[-window:]
    rcs = _softmax(k * _relative(now, np.abs(now).sum()))
    acs = _softmax(-len(recent) * _relative(now, np.abs(recent).sum(axis=0)))
    t = len(highest)
    df = min(1.0, t * float(_softmax(-tau * t * _relative(highest, np.abs(highest).sum()))[-1]))
    weights = _softmax(k * (df * rcs + (1 - df) * acs))
    if (weights < FLOOR / k).any():
        weights = weights * (1 - FLOOR) + FLOOR / k
    return weights


def _slopes(values: Floats, window: int) -> Floats:
    """(s - 1, K) least-squares slopes over the last `window` updates, from the second on."""
    slopes = []
    for end in range(2, len(values) + 1):
        seen = values[max(0, end - window) : end]
        steps = np.arange(len(seen)) - (len(seen) - 1) / 2
        slopes.append(steps @ seen / (steps @ steps))
    return np.array(slopes)


def _relative(values: Floats, whole: Floats) -> Floats:
    """Values by their whole; 0 where nothing moved."""
    moved = np.asarray(whole) > 0
    relative: Floats = np.divide(values, whole, out=np.zeros_like(values), where=moved)
    return relative


def _softmax(values: Floats) -> Floats:
    powers: Floats = np.exp(values - values.max())
    shares: Floats = powers / powers.sum()
    return shares
