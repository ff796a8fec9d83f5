"""End-of-turn loss: how surprised the model is that the answer ends where it does.

    E_i = max_t -log p(end of turn | prompt_i,t, response_i,t)

The negative log-likelihood, in nats, of the token that ends a trained turn, alone; of several turns
the highest. An answer that was cut off ends where the model expects it to go on: the token has a
high loss there, however likely the rest is. Near 0: the model would have stopped as well. That the
decision to end is one of its own is shown by Newman et al. 2020, arXiv:2010.07174.

Higher is kept first, as of every loss. Use it to find answers that were cut off: by a bound, or the
top share of it to be read or dropped, not by a ranking. Not for templates that write no end of
turn, whose rows have no number, nor for sets whose answers stop short on purpose, such as labels:
their ends are surprising too. It comes with the losses: one pass of the model, no other.
"""

import numpy as np

from scorers.arrays import Floats, require_losses
from scorers.reductions import as_turns


def score_end_of_turn_loss(turn_stop_nll: Floats) -> Floats:
    """Score each example by the loss of the token that ends its least expected end.

    Args:
        turn_stop_nll: (n, k) nats of the token that ends each trained turn; NaN of a turn that ends
            without one, and behind a row's last.

    Returns:
        (n,) nats, 0 or more. NaN where no turn has such a token.

    Raises:
        ValueError: if a loss is negative or above 700.
    """
    turns = as_turns(turn_stop_nll)
    require_losses(turn_stop_nll=turns)
    highest = np.max(turns, axis=1, initial=-np.inf, where=~np.isnan(turns))
    return np.where(np.isneginf(highest), np.nan, highest)
