"""How long the rows of a selection are, beside those it was chosen from and its controls.

Length is the commonest hidden driver of a selection: summed marks prefer long rows, losses short
ones. A selection whose lengths are not the pool's has chosen lengths too, and must beat its
length-matched control before its score can be given the credit.
"""

from dataclasses import dataclass

import numpy as np

from scorers.arrays import Ints

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Lengths:
    """The distribution of loss tokens over some rows."""

    rows: int
    tokens: int
    quantiles: list[float]
    """Least, 10 %, 25 %, median, 75 %, 90 %, most; [] without rows."""


def describe_lengths(loss_tokens: Ints) -> Lengths:
    """Summarise the loss tokens (n,) of some rows; a quantile is that of a row, not between two."""
    if not len(loss_tokens):
        return Lengths(0, 0, [])
    quantiles = np.quantile(loss_tokens, SHARES, method="inverted_cdf").astype(float)
    return Lengths(len(loss_tokens), int(loss_tokens.sum()), quantiles.tolist())
