"""The highest share of scores, as a filter: what is left goes on to a step that spends the budget.

    n_kept = floor(share * n)

n counts the rows that reach the filter, those without a score too. It is the first cut of methods
that look at quality first and at coverage after, such as the diverse version of Superfiltering
(arXiv:2402.00530): the highest fifth by score, and of these the rows that cover the rest. Their
fifth is one of the whole data set (10,400 of Alpaca's 52,002 rows), also where rows above 1 went
before. Here it is one of the rows that reach the filter, which the notes of the step count: for
theirs multiply the share by the rows before, and divide it by those that are left.

For a first cut where another step chooses, and the scale of the score moves with the model. Not for
a score that compares only candidates of one prompt, and no remedy for lengths: what it keeps most
often is a length, as with `top_k`, so see the length-matched control. A sort of the scores, no
model.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.ranking.budget import Budget
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates
from pipeline.selection.methods.top_k import select_top_k
from pipeline.selection.step import FilterStep
from scorers.arrays import Floats, Strings


def select_top_share(scores: Floats, ids: Strings, share: float) -> Outcome:
    """Pick the highest share of the rows.

    Args:
        scores: (n,) NaN where there is none; such rows are out as "no_score".
        ids: (n,) distinct example ids; the lower one wins a tie.
        share: Of the n rows, above 0 and at most 1; rounded down.

    Returns:
        The picks, highest first; the others are "below_share"; values are the scores.

    Raises:
        ValueError: if a score is infinite, or the share is out of range.
    """
    outcome = select_top_k(scores, ids, Budget(fraction=share))
    reasons = np.where(outcome.reasons == "over_budget", "below_share", outcome.reasons)
    note = (
        f"{len(outcome.indices)} rows stay, a share of {share:g} of the {len(ids)} that came here"
    )
    return replace(outcome, reasons=reasons, notes=(note,))


class TopShare(FilterStep):
    """Keep the highest share of the rows by a score."""

    method: Literal["top_share"]
    score: str = Field(description="The score that decides.")
    share: float = Field(gt=0, le=1, description="Of the rows that reach the filter.")

    def pick(self, rows: Candidates) -> Outcome:
        """Keep the highest."""
        return select_top_share(rows.score(self.score), rows.ids, self.share)
