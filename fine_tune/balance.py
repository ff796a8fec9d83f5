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

Two tasks with the weights a and 1 - a are the loss of Distilling step-by-step (Hsieh et al. 2023,
arXiv:2305.02301, a label and its rationale, each from a source of its own, a = 0.5) and of MORepair
(Yang et al. 2024, arXiv:2404.12636, a repair alone and one with its reasons): short answers are not
drowned by long ones.

For tasks that are all wanted equally though their sizes differ much, where shares of the selection
would throw rows away. Not for one task from several sources, and not where the small source is
small because little of it is good: its rows are read with a large weight, and learnt by heart.
Costs nothing. No trial of ours has shown that it helps.

Liu et al. 2023, "MFTCoder", arXiv:2311.02303. Tasks are told apart by name; a variant of the
authors' code merges two tasks whose weights are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from fine_tune.collate import LOSS_WEIGHTS, TASK
from scorers.arrays import Floats, Ints, Strings, require_same_length
from storage.source_paths import has_name

if TYPE_CHECKING:
    from datasets import Dataset


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
    totals = np.bincount(codes, weights=loss_tokens, minlength=len(names))  # (K,) N_k
    shares = task_shares(names.tolist(), weights)
    balanced: Floats = (shares * totals.sum() / totals)[codes]  # (K,) → (n,)
    return balanced


def task_shares(names: Sequence[str], weights: Mapping[str, float] | None) -> Floats:
    """(K,) weights of the tasks present; together 1.

    Raises:
        ValueError: if a task has none.
    """
    if weights is None:
        return np.full(len(names), 1 / max(1, len(names)))  # without rows there is no task
    wrong = [name for name in names if not weights.get(name, 0) > 0]  # NaN among them
    if wrong:
        raise ValueError(f"every task needs a weight above 0, {', '.join(wrong)} has none")
    given = np.array([weights[name] for name in names], dtype=np.float64)
    shares: Floats = given / given.sum()
    return shares


def weighted_rows(
    rows: Dataset, *, balance: Literal["source"] | Mapping[str, float] | None
) -> Dataset:
    """Rows with what their tokens count in the loss: the turn's weight, and what balances sources.

    Rows whose trained tokens all count 1 are without. Where sources are balanced, rows have the
    number of their task as well, by the order of the names.

    Raises:
        ValueError: if a source has none of the names that balance gives weights to, or several.
    """
    ready = LOSS_WEIGHTS in rows.column_names  # of token ids: a weight for each
    columns = rows.with_format("numpy")
    # A list, for rows have different lengths; one weight counts for all tokens of its row.
    own = list(columns[LOSS_WEIGHTS]) if ready else list(np.array(columns["weight"])[:, None])
    factors = np.ones(len(rows))
    rest = rows.remove_columns(LOSS_WEIGHTS) if ready else rows
    if balance:
        tasks = np.array(tasks_of(rows["source"], balance))
        weights = None if balance == "source" else balance
        factors = row_weights(tasks, np.array(rows["loss_tokens"]), weights)
        rest = rest.add_column(TASK, np.unique(tasks, return_inverse=True)[1])
    # 0 is the weight of a token that is read only.
    alike = all(np.isin(weights, (0, 1)).all() for weights in own)
    if alike and not balance:
        return rest
    weighed = [(ws * f).astype(np.float32) for ws, f in zip(own, factors, strict=True)]
    return rest.add_column(LOSS_WEIGHTS, weighed)


def tasks_of(sources: Iterable[str], balance: Literal["source"] | Mapping[str, float]) -> list[str]:
    """The task of each row."""
    return list(sources) if balance == "source" else task_names(sources, balance)


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
