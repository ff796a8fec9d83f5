"""EL2N: how far the model is from being certain of the response, given its prompt.

    E_i = (1 / t) sum_t | p(. | prompt_i, y_<t) - onehot(y_t) |

The length of the error vector, the gradient of the loss by the logits: 0 where the model is certain
of the token that stands there, sqrt 2 where it is certain of another. Unlike a loss it has an end,
so that a few impossible tokens do not outweigh all the others.

Higher is kept first: what is low is known already and teaches little. For pools that are larger
than what will be trained. Not for pools with wrong answers, which have the highest errors of all:
drop those first, or cut off the top too. It comes with the losses (`measure.losses.el2n`): one pass
of the model, no other.

SFPrompt, arXiv:2407.17533, prunes the rows of its clients so before they are trained on; the score
is from Paul et al. 2021, arXiv:2107.07075, where it is taken a few epochs into the training. Both
classify; the mean over the tokens of a response is ours.
"""

import numpy as np

from scorers.arrays import Floats

HIGHEST = np.sqrt(2) + 1e-4
"""Rounding included."""


def score_el2n(mean_el2n: Floats) -> Floats:
    """Score each example by its mean error over the response.

    Args:
        mean_el2n: (n,) with the prompt, from 0 to sqrt 2.

    Returns:
        (n,) the same. NaN where it is missing.

    Raises:
        ValueError: if an error lies outside that.
    """
    wrong = mean_el2n[(mean_el2n < 0) | (mean_el2n > HIGHEST)]
    if wrong.size:
        raise ValueError(f"the length of p - y is from 0 to sqrt 2, got {wrong[0]:g}")
    return mean_el2n.copy()
