"""Perplexity: how surprising the response is to the model, given its prompt.

    PPL_i = exp(L(response_i | prompt_i))

L is the mean negative log-likelihood per response token, in nats. 1: the model was certain of every
token; the size of the vocabulary: it could only guess.

Higher is kept first: the most surprising responses. That is a choice, and often the wrong one: very
high perplexity is more often noise than difficulty (DEITA's comparison, arXiv:2312.15685, finds it
worse than random). For the most likely responses first use `grape`, which is the reverse order.
For finding odd rows by a bound, such as answers in another language; not for ranking a pool, since
short and broken answers stand highest, and not to be averaged with `grape` or `ifd`, which want
other ends of the same losses. One pass of the model over each row.

Jelinek et al. 1977, "Perplexity: a measure of the difficulty of speech recognition tasks",
doi:10.1121/1.2016299.
"""

import numpy as np

from scorers.arrays import Floats, require_losses


def score_perplexity(mean_nll: Floats) -> Floats:
    """Score each example by the perplexity of its response.

    Args:
        mean_nll: (n,) nats per token, L(response | prompt).

    Returns:
        (n,) perplexity, without unit, 1 or more. NaN where the loss is missing.

    Raises:
        ValueError: if a loss is negative or above 700.
    """
    require_losses(mean_nll=mean_nll)
    return np.exp(mean_nll)
