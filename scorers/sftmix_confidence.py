"""SFTMix confidence: how likely a small model found the response all through its training.

    Conf_i = -(1 / C) * sum over c of PPL_ic,   PPL_ic = exp(min(L_ic, 20))

L_ic is the mean loss per response token of row i at checkpoint c, C the number of checkpoints: what
S2L's trajectories hold. From -1, learnt by heart from the start, down to -exp(20). The mean of
perplexities is ruled by the early checkpoints, where they are largest; `log_mean` takes the mean of
log PPL, which is the loss, and is not.

Higher is kept first, but this is no score of quality. Not for choosing rows: what is confident is
easy for the model or said often, and good and bad answers overlap in it. It is for mixing, as
SFTMix does: `sftmix_class` splits the rows at its median, and a trainer then interpolates between
rows of the two halves. Instant; the cost is in the trajectories.

SFTMix, 2024, arXiv:2410.05248. How many checkpoints the authors take is not known to
us; here it is those that `measure.trajectories` records.
"""

import numpy as np

from scorers.arrays import Floats, require_losses

MOST_NATS = 20.0
"""A loss above this counts as this: one checkpoint that exploded would rule the mean."""


def score_sftmix_confidence(trajectory: Floats, *, log_mean: bool = False) -> Floats:
    """Score each example by its confidence over training.

    Args:
        trajectory: (n, c) nats per token at each recorded step.
        log_mean: Whether to average log perplexities instead of perplexities.

    Returns:
        (n,) perplexity, negated; with `log_mean` nats per token, negated. NaN where a loss is
        missing.

    Raises:
        ValueError: if a loss is negative or above 700.
    """
    require_losses(trajectory=trajectory)
    if trajectory.shape[1] == 0:
        return np.full(len(trajectory), np.nan)
    nats = np.minimum(trajectory, MOST_NATS)
    said: Floats = nats if log_mean else np.exp(nats)
    means: Floats = np.sort(said, axis=1).mean(axis=1)  # sorted: another order may round otherwise
    return -means
