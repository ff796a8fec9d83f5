"""How much may be picked: rows, loss tokens, or a fraction of the rows."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from scorers.arrays import Ints


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on a selection. Exactly one of the three is given."""

    rows: int | None = None
    loss_tokens: int | None = None  # response tokens, as the trainer counts them
    fraction: float | None = None  # of the rows given, with or without a score; rounded down

    def __post_init__(self) -> None:
        """Check the limit.

        Raises:
            ValueError: if not exactly one is given, or it is out of range.
        """
        if sum(limit is not None for limit in (self.rows, self.loss_tokens, self.fraction)) != 1:
            raise ValueError(f"give exactly one of rows, loss_tokens and fraction, got {self}")
        if (self.rows or 0) < 0 or (self.loss_tokens or 0) < 0:
            raise ValueError(f"a budget cannot be negative, got {self}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must be above 0 and at most 1, got {self.fraction}")

    def costs(self, n: int, loss_tokens: Ints | None) -> tuple[Ints, int]:
        """Say what each row costs and how much may be spent.

        Args:
            n: Rows in the pool.
            loss_tokens: (n,) response tokens of every row; may be None for the other two limits.

        Returns:
            (n,) costs and the limit, in rows or tokens.

        Raises:
            ValueError: if the limit is in tokens and the tokens of a row are not known.
        """
        if self.loss_tokens is not None:
            if loss_tokens is None or len(loss_tokens) != n or (loss_tokens < 0).any():
                raise ValueError(f"a budget in loss tokens needs the loss tokens of all {n} rows")
            return loss_tokens, self.loss_tokens
        if self.rows is not None:
            return np.ones(n, dtype=np.int64), self.rows
        # 0.29 of 100 rows is 29; as floats the product is 28.999999999999996.
        return np.ones(n, dtype=np.int64), int(Fraction(str(self.fraction)) * n)


def count_fitting(costs: Ints, limit: int) -> int:
    """Count the leading costs that fit together; 0 of them once the limit is used up."""
    spent = np.cumsum(costs)  # with each row; spent - costs is before it
    return int(((spent <= limit) & (spent - costs < limit)).sum())


def within_budget(order: Ints, budget: Budget, n: int, loss_tokens: Ints | None = None) -> Ints:
    """Take rows in order of preference until one does not fit.

    It stops there, and does not go on to smaller rows that would still fit: the tail of a selection
    would then prefer short rows, and a selection would no longer be the head of its ranking. Less
    than one row's tokens are left unspent.

    Args:
        order: (m,) rows, the preferred first.
        budget: The limit.
        n: Rows in the pool, m or more.
        loss_tokens: (n,) response tokens of every row; needed for a budget in loss tokens.

    Returns:
        (k,) the first k of `order`.

    Raises:
        ValueError: if the budget is in loss tokens and those are not given.
    """
    costs, limit = budget.costs(n, loss_tokens)
    return order[: count_fitting(costs[order], limit)]
