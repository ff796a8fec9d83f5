"""Entropy: how unsure the model is of the response as it goes through it, given its prompt.

    H_i = (1 / t) sum_t H(p(. | prompt_i, y_<t))

The mean, over the response tokens, of the entropy of the model's distribution: nats per token, from
0 (certain, rightly or wrongly) to log(vocabulary). With the perplexity it spans Q-Tuning's plane
(arXiv:2509.23873): high perplexity and low entropy is a misconception worth training on, low
perplexity and high entropy a calibration sample; the other two corners are noise and repetition.

Higher is kept first: the responses the model is least sure of. On its own that ranks noise high. It
is for reading beside the perplexity, and for bounds; not for a ranking by itself, nor for rows of
different tasks, where the task decides more than the row. It comes with the losses: one pass.
"""

import numpy as np

from scorers.arrays import Floats


def score_entropy(mean_entropy: Floats) -> Floats:
    """Score each example by the mean entropy over its response.

    Args:
        mean_entropy: (n,) nats per token, with the prompt.

    Returns:
        (n,) the same. NaN where it is missing, as from a back end that tells no entropies.

    Raises:
        ValueError: if an entropy is negative or infinite.
    """
    wrong = mean_entropy[(mean_entropy < 0) | np.isinf(mean_entropy)]
    if wrong.size:
        raise ValueError(f"an entropy is finite and not negative, in nats, got {wrong[0]:g}")
    return mean_entropy.copy()
