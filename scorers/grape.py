"""GRAPE: how likely the response is to the model that will be trained.

    s_i = (1 / |T_i|) * sum over t in T_i of log p(y_t | prompt_i, y_<t) = -L(response_i | prompt_i)

T_i is the response tokens, L the mean loss per token. 0: certain; the lower, the further from what
the model would have said. Higher is kept first. It ranks the candidates of one prompt; likelihoods
of different prompts say nothing about each other, so select with `select_best_candidates`. For
several answers to a prompt, after a filter for right ones; not for a pool with one answer each, nor
for the model's own samples, which stand highest and made it worse. One pass for each answer.

Zhang et al. 2025, "The Best Instruction-Tuning Data are Those That Fit", arXiv:2502.04194. Its
first text says "probability", its third "length-normalised": this is the normalised one. The
authors score with the bare question-and-answer template and the untuned target model, and check
answers for correctness first, where that can be done.
"""

from scorers.arrays import Floats, require_losses


def score_grape(mean_nll: Floats) -> Floats:
    """Score each example by the log-probability per token of its response.

    Args:
        mean_nll: (n,) nats per token, L(response | prompt), by the model that will be trained.

    Returns:
        (n,) nats per token, 0 or less. NaN where the loss is missing.

    Raises:
        ValueError: if a loss is negative or above 700.
    """
    require_losses(mean_nll=mean_nll)
    return 0.0 - mean_nll  # not -mean_nll: that would turn 0 into -0
