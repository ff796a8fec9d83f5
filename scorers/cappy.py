"""Cappy: how right a response is for its instruction, to a small model trained on such pairs.

    s_i = f(instruction_i, response_i),   f fitted to labels of 0 to 1 by squared error

1 was a reference, 0 another row's response, between them a model's answer by its ROUGE-L with the
reference. Higher is kept first. No sigmoid: a value may be below 0 or above 1; clip it for display
only. Each row is scored by a model that was not trained on it.

For dropping answers that do not belong to their instruction, and for choosing among candidates
(`grape` with this score picks the best of each prompt). Not for facts, depth or style: what
the labels reward is likeness to the references, and a scorer of quality trained on a pool agrees
with the pool. Compare the choice with random at equal size. Instant; the training is the measure's.

Tan et al. 2023, "Cappy: Outperforming and Boosting Large Multi-Task LMs with a Small Scorer",
arXiv:2311.06720. The paper's model is pre-trained on many data sets; this one knows the pool alone.
"""

import numpy as np

from scorers.arrays import Floats


def score_cappy(correctness: Floats) -> Floats:
    """Score each example by the model's estimate of how right its response is.

    Args:
        correctness: (n,) the model's output, around 0 to 1.

    Returns:
        (n,) the same, unclipped. NaN where there is none.

    Raises:
        ValueError: if a value is infinite.
    """
    if np.isinf(correctness).any():
        raise ValueError("correctness must be finite, got an infinite value: measure it again")
    return np.array(correctness, dtype=np.float64)
