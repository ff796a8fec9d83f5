"""Reductions: from the losses of a conversation's trained turns to one number for it.

With s_t the sum of what was measured over the n_t tokens of turn t, in nats:

    token   sum_t s_t / sum_t n_t    what a trainer's mean over tokens sees of the row
    turn    mean_t (s_t / n_t)       each turn counts the same, short or long
    last    s_T / n_T                the last turn alone, as methods for single answers have it
    first   s_1 / n_1                the only turn without a history
    worst   max_t (s_t / n_t)        of turns of at least 8 tokens: shorter ones are noise

Of a row with one trained turn all are the same number. What a turn is worst by is its loss with the
prompt, and other columns are then that turn's: so a ratio compares one turn with itself.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from scorers.arrays import Floats, Ints

Reduction = Literal["token", "turn", "last", "first", "worst"]

TurnPart = Literal["reasoning", "answer"]
"""answer: a turn's tokens that are not its reasoning, the template's marks and end among them."""

LEAST_TOKENS = 8
"""A turn of fewer is not the worst one, unless all are shorter."""

OF_TURNS = {
    "mean_nll": "turn_nll",
    "mean_nll_alone": "turn_nll_alone",
    "mean_entropy": "turn_entropy",
}
"""Column of a mean over all tokens → column of the sums of each turn."""


def reduce_turns(
    sums: Mapping[str, Floats], tokens: Floats, reduction: Reduction
) -> dict[str, Floats]:
    """One number per token of each row for each column.

    Args:
        sums: name → (n, k) nats, summed over each turn's tokens; NaN behind a row's last turn.
            The first of them says which turn is the worst.
        tokens: (n, k) tokens of each turn; NaN likewise.
        reduction: see above.

    Returns:
        name → (n,) nats per token; NaN for a row without a turn.
    """
    if reduction == "token":
        return divide_sums(sums, np.nansum(tokens, axis=1))
    means = {name: column / tokens for name, column in sums.items()}
    if reduction == "turn":
        return divide_sums(means, (~np.isnan(tokens)).sum(axis=1))
    places = standing_turns(next(iter(means.values())), tokens, reduction)
    rows = np.arange(len(tokens))
    return {name: column[rows, places] for name, column in means.items()}


def take_part(
    part: TurnPart, whole: tuple[Floats, Floats], reasoning: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Tokens and sums (n, k) of one part of each turn, NaN of a turn that has no token of it.

    Args:
        part: which.
        whole: (n, k) tokens and sums of each turn.
        reasoning: (n, k) those of its reasoning; NaN where that is not known.
    """
    if reasoning[0].shape != whole[0].shape:  # no row has it
        reasoning = (np.full(whole[0].shape, np.nan), np.full(whole[0].shape, np.nan))
    if part == "reasoning":
        tokens, sums = reasoning
    else:
        tokens, sums = (a - b for a, b in zip(whole, reasoning, strict=True))
    there = tokens > 0
    # A rounding error below 0 is no loss: the sum of the rest of a turn's float32 losses.
    return np.where(there, tokens, np.nan), np.where(there, np.maximum(sums, 0.0), np.nan)


def as_turns(column: Floats) -> Floats:
    """(n, k) of a column of turns, which comes as (n,) where no row has any."""
    return column if column.ndim == 2 else column[:, np.newaxis]


def divide_sums(columns: Mapping[str, Floats], by: Floats | Ints) -> dict[str, Floats]:
    """(n,) the sum of each row of each column by the row's (n,) divisor; NaN where that is 0."""
    divisor = np.where(by > 0, by, np.nan)
    return {name: np.nansum(column, axis=1) / divisor for name, column in columns.items()}


def standing_turns(losses: Floats, tokens: Floats, reduction: Reduction) -> Ints:
    """(n,) the turn of each row that stands for it: the last, the first or the worst."""
    there = ~np.isnan(tokens)
    if reduction == "first":
        wanted = np.cumsum(there, axis=1) == 1
    elif reduction == "last":
        wanted = there & (np.cumsum(there, axis=1) == there.sum(axis=1, keepdims=True))
    else:
        long = there & (tokens >= LEAST_TOKENS)
        looked_at = np.where(long.any(axis=1, keepdims=True), long, there)
        wanted = np.where(looked_at, losses, -np.inf)
    found: Ints = np.argmax(wanted, axis=1)  # of equals the first
    return found
