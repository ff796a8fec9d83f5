"""Response length: the tokens the trainer would compute a loss on.

    length_i = |T(response_i)|

T is the tokens of the trained response under the target model's template. Higher is kept first: the
longest. It is the baseline that many selection methods turn out to be, and a strong one.
For holding other methods against; not for choosing what a model should learn to say: it learns to
be long. Counted by the tokenizer; no model is asked.

Zhao et al. 2024, "Long Is More for Alignment", arXiv:2402.04833.
"""

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats


def score_response_length(response_tokens: NDArray[np.integer] | Floats) -> Floats:
    """Score each example by the number of its response tokens.

    Args:
        response_tokens: (n,) tokens.

    Returns:
        (n,) tokens. NaN where the count is missing.

    Raises:
        ValueError: if a count is negative.
    """
    if (response_tokens < 0).any():
        raise ValueError(f"a count of tokens cannot be negative, got {response_tokens.min()}")
    return response_tokens.astype(np.float64)
