"""The shortest responses: the other end of the baseline `longest`.

    picks = the first rows by (loss tokens ascending, example_id), as far as the budget goes

For telling whether a method that prefers short rows, as perplexity and IFD often do, has found more
than that. Not for choosing rows to train on: a budget in loss tokens buys many rows, and they teach
short answers. The arm `shortest` of a trial is the same draw. A sort of the token counts, which are
always taken: no model.
"""

from typing import Literal

from pipeline.ranking.budget import Budget
from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.longest import take_first
from pipeline.selection.step import RankStep
from scorers.arrays import Ints, Strings, require_same_length


def select_shortest(loss_tokens: Ints, ids: Strings, budget: Budget) -> Outcome:
    """Pick the shortest responses, as far as the budget goes.

    Args:
        loss_tokens: (n,) tokens that are trained of each row.
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit; rows beyond it are "over_budget".

    Returns:
        The picks, the shortest first; values are the tokens.

    Raises:
        ValueError: if lengths differ.
    """
    require_same_length(loss_tokens=loss_tokens, ids=ids)
    return take_first(sort_rows(loss_tokens, ids), loss_tokens, budget)


class Shortest(RankStep):
    """The shortest responses: a baseline."""

    method: Literal["shortest"]

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Rank by length and cut."""
        return select_shortest(rows.loss_tokens, rows.ids, self.budget.budget())
