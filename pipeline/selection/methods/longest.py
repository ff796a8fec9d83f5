"""The longest responses: what every method must beat that may have chosen lengths.

    picks = the first rows by (loss tokens descending, example_id), as far as the budget goes

For holding other methods against, and hard to beat in small clean pools: by judges, the 1,000
longest rows of Alpaca did better than LIMA and AlpaGasus (Zhao et al. 2024, arXiv:2402.04833), but
judges prefer long answers. Not for pools that nobody has cleaned: in RDS+ (arXiv:2503.01807) the
longest of 5.8 million rows came far below random. The arm `longest` of a trial is the same draw. A
sort of the token counts, which are always taken: no model.
"""

from typing import Literal

import numpy as np

from pipeline.ranking.budget import Budget, within_budget
from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.step import RankStep
from scorers.arrays import Ints, Strings, require_same_length


def select_longest(loss_tokens: Ints, ids: Strings, budget: Budget) -> Outcome:
    """Pick the longest responses, as far as the budget goes.

    Args:
        loss_tokens: (n,) tokens that are trained of each row.
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit; rows beyond it are "over_budget".

    Returns:
        The picks, the longest first; values are the tokens.

    Raises:
        ValueError: if lengths differ.
    """
    require_same_length(loss_tokens=loss_tokens, ids=ids)
    return take_first(sort_rows(-loss_tokens, ids), loss_tokens, budget)


def take_first(order: Ints, loss_tokens: Ints, budget: Budget) -> Outcome:
    """The first rows (n,) of an order of all, as far as the budget goes; values are the tokens."""
    picks = within_budget(order, budget, len(order), loss_tokens)
    reasons = np.full(len(order), "over_budget", dtype=object)
    reasons[picks] = ""
    return account_for(picks, reasons, loss_tokens.astype(np.float64))


class Longest(RankStep):
    """The longest responses: a baseline."""

    method: Literal["longest"]

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Rank by length and cut."""
        return select_longest(rows.loss_tokens, rows.ids, self.budget.budget())
