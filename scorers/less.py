"""LESS: which rows would move the model's adapters the way the targets ask.

    score_i = max over s of  sum over c of  w_c * mean over v in V_s of  <Gamma_c(i), g_c(v)>

Gamma_c(i) is the direction in which Adam would move the adapters for row i at checkpoint c, g_c(v)
the gradient of target v there, both projected and of unit length, so that each product is a cosine.
w_c is the mean learning rate of the epoch before the checkpoint, as a share of all. V_s are the
targets of one source: a row need serve one of them only, so put targets of different tasks into
different files. A score is between -1 and 1. Higher is kept first: such a row lowers the loss of
the targets most, to the first order.

For 50 to 500 target examples of a task with a form of its own, where what matters is how an answer
is arrived at and not what it is about; where topics do, embeddings and `got_d` are far cheaper. Not
where the targets are what the model will be tested on: they are then trained for, row by row. Not
for a pool that is measured once for a single choice of some hundred rows: warm-up and gradients
cost more than training on the pool would. Short rows win nothing by their long gradients, but the
gradient of a long response is an average of many tokens and agrees more steadily: on general
instructions the score rose with length, so compare with both controls, the length-matched one too.

Cost: for T epochs of warm-up, T passes forward and backward over every row, three times as dear as
T passes of `perplexity`; 2 bytes x T x dimension of disk for each row (64 KB with the published
settings). The arithmetic here is n x T x dimension products for each source of targets.

Xia et al. 2024, "LESS: Selecting Influential Data for Targeted Instruction Tuning",
arXiv:2402.04333. The released code expects as many targets in every task; here a task is a source
of any size. A target that stands in two sources counts in both.
"""

import numpy as np

from scorers.arrays import Floats, require_same_length, unit


def score_less(
    gradient: Floats, rates: Floats, target_gradient: Floats, target_source: Floats
) -> Floats:
    """Score each row by its agreement with the source of targets that it serves best.

    Args:
        gradient: (n, c, d) Adam's directions at each checkpoint.
        rates: (n, c) mean learning rate before each checkpoint, above 0 together.
        target_gradient: (m, c, d) gradients of the targets; one that is NaN or zero at some
            checkpoint is left out.
        target_source: (m,) which source each target stands in.

    Returns:
        (n,) from -1 to 1. NaN where a row has no direction at some checkpoint.

    Raises:
        ValueError: if lengths differ, checkpoints or dimensions do, or no target has a gradient.
    """
    require_same_length(gradient=gradient, rates=rates)
    require_same_length(target_gradient=target_gradient, target_source=target_source)
    if gradient.shape[1:] != target_gradient.shape[1:]:
        raise ValueError(
            f"rows have (checkpoints, dimensions) {gradient.shape[1:]}, targets "
            f"{target_gradient.shape[1:]}: measure both with the same settings"
        )
    directions = unit(target_gradient)
    known = ~np.isnan(directions).any(axis=(1, 2))
    if not known.any():
        raise ValueError("less compares with targets, and none of those given has a gradient")
    # rows are stored at half precision, where a length is only near 1
    rows, targets, sources = unit(gradient), directions[known], target_source[known]
    weights = rates / rates.sum(axis=1, keepdims=True)  # (n, c), each row's sum to 1
    best = np.full(len(rows), -np.inf)
    for source in np.unique(sources):
        mean = targets[sources == source].mean(axis=0)  # (c, d); a mean of cosines is one product
        # einsum, not a matrix product: a row's sum must not depend on how many rows there are
        cosines = np.einsum("ncd,cd->nc", rows, mean)
        best = np.maximum(best, (weights * cosines).sum(axis=1))
    scores: Floats = np.clip(best, -1.0, 1.0)  # rounding can take a cosine past 1
    return scores
