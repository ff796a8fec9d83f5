"""Instruction-following difficulty (IFD): how little the prompt helps with the response.

    IFD_i = L(response_i | prompt_i) / L(response_i)

L is the mean negative log-likelihood per response token. Near 1, the prompt taught the model
nothing about the response (hard); near 0, the prompt gave it away (easy); above 1, the two
probably do not belong together, and the authors drop the row: select with a maximum of 1.
Higher is kept first. Responses of a few tokens have unstable ratios.

For cutting a large pool of general instructions with the model to be trained; not for comparing
answers to one prompt, nor for short answers: it prefers short or odd ones, so look at the lengths
and hold the choice against random of equal length. Two passes over the response, one the prompt.

Li et al. 2023, "From Quantity to Quality", arXiv:2308.12032. Its follow-up code (Superfiltering)
divides perplexities, exp(L), not losses: another order, so another scorer, `ifd_perplexity`.
"""

from scorers.arrays import Floats, ratio, require_losses


def score_ifd(mean_nll: Floats, mean_nll_alone: Floats) -> Floats:
    """Score each example by the ratio of its two losses.

    Args:
        mean_nll: (n,) nats per token, L(response | prompt).
        mean_nll_alone: (n,) nats per token, L(response).

    Returns:
        (n,) ratio without unit. NaN where a loss is missing, or where mean_nll_alone is 0 (a
        response the model finds certain has no difficulty to speak of).

    Raises:
        ValueError: if the lengths differ, or a loss is negative or above 700.
    """
    require_losses(mean_nll=mean_nll, mean_nll_alone=mean_nll_alone)
    return ratio(mean_nll, mean_nll_alone)
