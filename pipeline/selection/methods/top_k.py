"""The highest scores.

    picks = the first rows by (score descending, example_id), as far as the budget goes

For a score that means the same in every row; not for one that compares only candidates of a prompt
(`grape`) or clusters (`s2l`), nor to make a set varied: near copies stand side by side. What it
picks most often is a length: see the length-matched control. A sort of the scores, no model.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.ranking.budget import Budget, within_budget
from pipeline.ranking.order import rank_by_score
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.step import Ranked, RankStep, rank_values
from scorers.arrays import Floats, Ints, Strings


def select_top_k(
    scores: Floats, ids: Strings, budget: Budget, loss_tokens: Ints | None = None
) -> Outcome:
    """Pick rows by score, highest first, as far as the budget goes.

    Args:
        scores: (n,) NaN where there is none; such rows are out as "no_score".
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit; rows beyond it are "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.

    Returns:
        The picks, highest first; values are the scores.

    Raises:
        ValueError: if a score is infinite, or the budget needs tokens that are not given.
    """
    picks = within_budget(rank_by_score(scores, ids), budget, len(scores), loss_tokens)
    reasons = np.full(len(scores), "over_budget", dtype=object)
    reasons[np.isnan(scores)] = "no_score"
    reasons[picks] = ""
    return account_for(picks, reasons, scores)


class TopK(RankStep):
    """The highest scores."""

    method: Literal["top_k"]
    score: Ranked = Field(description="The score that ranks, or several with their weights.")

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Rank and cut."""
        budget = self.budget.budget()
        return select_top_k(rank_values(rows, self.score), rows.ids, budget, rows.loss_tokens)
