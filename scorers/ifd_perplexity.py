"""IFD as Superfiltering computes it: the ratio of two perplexities, not of two losses.

    IFD_i = exp(L(response_i | prompt_i)) / exp(L(response_i))

L is the mean negative log-likelihood per response token. 1: the prompt changed nothing; near 0:
it gave the response away; above 1: the two probably do not belong together, and the authors drop
the row: select with a maximum of 1. Higher is kept first.

For a cheap first cut of a large pool by a small model, whose order the paper finds close to a large
one's; not where answers are short, which it prefers. Hold the choice against random of equal
length. Two passes over the response, one over the prompt.

Li et al. 2024, "Superfiltering", arXiv:2402.00530. It ranks by the difference of the losses, `ifd`
by their ratio, so the two order examples differently. The authors' code gives 0 to a row that
failed and leaves the first token out of L(response) only; here a failed row has no score and both
losses are over the same tokens.
"""

import numpy as np

from scorers.arrays import Floats, require_losses


def score_ifd_perplexity(mean_nll: Floats, mean_nll_alone: Floats) -> Floats:
    """Score each example by the ratio of its two perplexities.

    Args:
        mean_nll: (n,) nats per token, L(response | prompt).
        mean_nll_alone: (n,) nats per token, L(response).

    Returns:
        (n,) ratio without unit. NaN where a loss is missing.

    Raises:
        ValueError: if the lengths differ, or a loss is negative or above 700.
    """
    require_losses(mean_nll=mean_nll, mean_nll_alone=mean_nll_alone)
    return np.exp(mean_nll - mean_nll_alone)  # one exp: the quotient of two could overflow
