"""Confidence that the given response is right, as the model itself sees it (BSDetector, for CLEAR).

    C_i = beta * O_i + (1 - beta) * S_i
    O_i = mean over j of alpha * s_ij + (1 - alpha) * r_ij
    s_ij = 1/2 * ((1 - p_contra(y_i -> y_ij)) + (1 - p_contra(y_ij -> y_i)))

y_i is the response in the data, y_ij the j-th answer sampled from the model to the same prompt,
p_contra the probability that the first contradicts the second, r_ij 1 where the two are the same
text after normalisation, and S_i what the model replies when asked whether y_i is correct: correct
counts 1, incorrect 0, not sure 1/2, as expectations over its distribution, averaged over the
questions. 1: every sample agrees and the model approves; 0: none and it does not. Higher is kept
first. Open-ended tasks have low agreement by nature: compare within a task or source. For data
whose answers are right or wrong, some of them wrong; not for open tasks, nor with a model that
cannot do the task: it doubts right answers. The dearest score: some ten calls of a model for a row.

Chen and Mueller 2024, "Automated Data Curation for Robust Language Model Fine-Tuning" (CLEAR),
arXiv:2403.12776; BSDetector: 2023, arXiv:2308.16175. Some re-implementations compare the samples
among themselves and never look at y_i: that measures the prompt, not the response.
"""

import numpy as np

from scorers.arrays import (
    Floats,
    ratio,
    require_probabilities,
    require_same_length,
    require_sums_of_one,
)

OPTION_VALUES = np.array([1.0, 0.0, 0.5])
"""What correct, incorrect and not sure count."""


def _mean_of_present(values: Floats) -> Floats:
    """Average (n, k) over the k that are not NaN; (n,), NaN where none is there."""
    # not nanmean: it warns of a row without any
    return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))


def score_confidence(
    contradiction_forward: Floats,
    contradiction_backward: Floats,
    exact_match: Floats,
    reflection: Floats,
    *,
    alpha: float = 0.8,
    beta: float = 0.7,
) -> Floats:
    """Score each example by the confidence in its response.

    Args:
        contradiction_forward: (n, k) probability that the response contradicts sample j. NaN in
            any of the first three: the sample is missing, and the others are averaged.
        contradiction_backward: (n, k) probability that sample j contradicts the response.
        exact_match: (n, k) 1 or True where sample j is the response.
        reflection: (n, q, 3) probabilities of the replies correct, incorrect and not sure, for
            each of q questions; rows sum to 1. NaN: the question got no readable reply.
        alpha: Weight of non-contradiction against exact match, from 0 to 1.
        beta: Weight of agreement with the samples against self-reflection, from 0 to 1.

    Returns:
        (n,) from 0 to 1. NaN where no sample or no reply is there.

    Raises:
        ValueError: if shapes differ, or a probability or weight is outside 0 to 1.
    """
    require_same_length(contradiction_forward=contradiction_forward, reflection=reflection)
    if not contradiction_forward.shape == contradiction_backward.shape == exact_match.shape:
        raise ValueError(
            "expected three columns of one shape (n, k), got "
            f"{contradiction_forward.shape}, {contradiction_backward.shape}, {exact_match.shape}"
        )
    if not (0 <= alpha <= 1 and 0 <= beta <= 1):
        raise ValueError(f"alpha and beta are weights from 0 to 1, got {alpha} and {beta}")
    require_probabilities(
        contradiction_forward=contradiction_forward,
        contradiction_backward=contradiction_backward,
        exact_match=exact_match,
        reflection=reflection,
    )
    require_sums_of_one("the options of a reflection", reflection)
    agreement = 1 - (contradiction_forward + contradiction_backward) / 2  # (n, k): s_ij
    consistency = _mean_of_present(alpha * agreement + (1 - alpha) * exact_match)
    approval = _mean_of_present(reflection @ OPTION_VALUES)  # (n, q) expected replies, averaged
    return beta * consistency + (1 - beta) * approval
