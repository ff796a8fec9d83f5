"""One end of a score is dropped: the share of the rows whose scores are the most extreme.

    n_dropped = floor(share * n)

n counts the rows that reach the filter with a score. Use it for scores that point at a fault and
whose scale moves with the model: the highest 5 % of end-of-turn losses are where cut-off answers
stand, the lowest 10 % of prompt-response similarities where answers of other prompts do.

It drops as many rows of a clean set as of a dirty one. So it is not for sets whose faults nobody
has looked at: see what it would drop first; docs/which-score-finds-what.md says how many clean rows
go with the faults. Use it on sets that are known to be dirty. Where a bound means something by
itself, as IFD above 1, take `threshold`. A sort of the scores, no model.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.ranking.order import rank_by_score
from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import FilterStep
from scorers.arrays import Floats, Strings

End = Literal["highest", "lowest"]


def select_without(scores: Floats, ids: Strings, share: float, end: End) -> Outcome:
    """Drop the rows at one end of a score.

    Args:
        scores: (n,) NaN where there is none; such rows are out as "no_score".
        ids: (n,) distinct example ids; of equal scores the higher id is dropped.
        share: Of the rows with a score, above 0 and below 1; rounded down.
        end: Which rows are dropped.

    Returns:
        The picks, those furthest from the end first; values are the scores.

    Raises:
        ValueError: if a score is infinite.
    """
    # Ranked from the end that stays: what is behind the last pick is dropped.
    ranked = rank_by_score(scores if end == "lowest" else -scores, ids)
    kept = ranked[: len(ranked) - int(share * len(ranked))]
    reasons = no_reasons(len(scores))
    reasons[ranked] = "above_share" if end == "highest" else "below_share"
    reasons[kept] = ""
    reasons[np.isnan(scores)] = "no_score"
    return account_for(kept, reasons, scores)


class DropShare(FilterStep):
    """Drop the rows at one end of a score."""

    method: Literal["drop_share"]
    score: str = Field(description="The score that decides.")
    share: float = Field(gt=0, lt=1, description="Of the rows with a score; rounded down.")
    end: End = Field(description="Which of them are dropped.")

    def pick(self, rows: Candidates) -> Outcome:
        """Drop the extreme ones."""
        return select_without(rows.score(self.score), rows.ids, self.share, self.end)
