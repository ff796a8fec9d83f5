"""Context dependency: how much of the response's attention goes to what the user wrote.

    s_i = (1 / |R_i|) * sum over q in R_i of max over h of sum over k in U, k <= q of A_h[q, k]

A_h is the attention of head h in one middle layer of the probe, R_i the response's tokens, U the
tokens of the users' text. In [0, 1]; near 1 the response is read off the prompt, near 0 it came
from elsewhere. Higher is kept first. `turns` says which user turns count: "all" or the "current"
one; `heads` in which order: "per_token" (the released code) or "of_means", the maximum over heads
of the means, which is never higher.

For keeping rows that teach the use of a given text (`threshold`, or 0.6 and more as the authors
tag them), and for telling retrieval and reading rows from trivia. Not for ranking a whole pool: a
high value says where the probe looked and nothing about whether the answer is right, and with all
turns it grows with every turn of the conversation; compare within like turns, or take "current".
The paper's gains are in finding a fact in a long text, hardly in answering questions. Instant.

Wang et al. 2024, "On the Loss of Context-awareness in General Instruction Fine-tuning",
arXiv:2411.02688. Its code takes the maximum for each token; its formula may not.
"""

import numpy as np

from scorers.arrays import Floats, require_probabilities, require_same_length


def score_context_dependency(
    all_turns: Floats,
    current_turn: Floats,
    all_turns_of_means: Floats,
    current_turn_of_means: Floats,
    *,
    turns: str = "all",
    heads: str = "per_token",
) -> Floats:
    """Score each example by the attention its response pays to the users' text.

    Args:
        all_turns: (n,) share of attention to all user turns, maximum over heads for each token.
        current_turn: (n,) the same, to the last user turn before the response.
        all_turns_of_means: (n,) to all user turns, maximum over heads of the means over tokens.
        current_turn_of_means: (n,) the same, to the last user turn.
        turns: "all" or "current".
        heads: "per_token" or "of_means".

    Returns:
        (n,) shares in [0, 1]. NaN where there is none.

    Raises:
        ValueError: if a setting is another word, or a share is outside 0 to 1.
    """
    columns = {
        ("all", "per_token"): all_turns,
        ("current", "per_token"): current_turn,
        ("all", "of_means"): all_turns_of_means,
        ("current", "of_means"): current_turn_of_means,
    }
    if (turns, heads) not in columns:
        raise ValueError(
            'turns is "all" or "current" and heads "per_token" or "of_means", '
            f"got {turns!r} and {heads!r}"
        )
    require_same_length(
        all_turns=all_turns,
        current_turn=current_turn,
        all_turns_of_means=all_turns_of_means,
        current_turn_of_means=current_turn_of_means,
    )
    chosen = columns[turns, heads]
    require_probabilities(**{"the share of attention": chosen})
    return np.array(chosen, dtype=np.float64)
