"""CLEAR's Auto-Filter: drop the rows whose given response gets low confidence.

Chen and Mueller 2024, arXiv:2403.12776. The paper keeps confidence > median. Where many rows tie at
the median (say, all at 1) that drops all of them, so here the upper half is counted off instead:
the top ceil(n / 2) by confidence and id. Open-ended tasks have low confidence by nature: with
groups, each task or source keeps its own upper half.

For data with right and wrong answers; not for clean data, half of which it drops all the same, nor
as a ranking of quality. A sort; the cost is in the confidence.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.ranking.order import group_codes, rank_by_score, turn_in_group
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import FilterStep
from scorers.arrays import Floats, Strings, require_same_length


def select_confident(
    confidence: Floats, ids: Strings, groups: Strings | None = None, gamma: float | None = None
) -> Outcome:
    """Pick the confident half of each group, or all rows above a fixed confidence.

    Args:
        confidence: (n,) from 0 to 1, NaN where there is none; such rows are out as "no_score" and
            do not count for the half.
        ids: (n,) distinct example ids; the lower one wins a tie.
        groups: (n,) task or source of every row; None for one group.
        gamma: Pick confidence > gamma instead of the upper half; groups then make no difference.

    Returns:
        The picks, most confident first; the others are "low_confidence"; values are the confidence.

    Raises:
        ValueError: if lengths differ, or a confidence is infinite.
    """
    ranked = rank_by_score(confidence, ids)
    if gamma is not None:
        picks = ranked[confidence[ranked] > gamma]
    else:
        codes = np.zeros(len(ids), dtype=np.int64) if groups is None else group_codes(groups)
        require_same_length(confidence=confidence, groups=codes)
        sizes = np.bincount(codes[ranked], minlength=1)  # scored rows of each group
        # (size + 1) // 2 is ceil(size / 2): the middle one of an odd number stays.
        picks = ranked[turn_in_group(ranked, codes) < (sizes[codes[ranked]] + 1) // 2]
    reasons = np.full(len(confidence), "low_confidence", dtype=object)
    reasons[np.isnan(confidence)] = "no_score"
    reasons[picks] = ""
    return account_for(picks, reasons, confidence)


class Clear(FilterStep):
    """CLEAR: keep the half that the model is surer of, or all above a bound (arXiv 2403.12776)."""

    method: Literal["clear"]
    score: str = Field(default="confidence", description="The score that says how sure.")
    above: float | None = Field(
        default=None, description="Keep what is above this; the upper half if not given."
    )
    per_source: bool = Field(default=False, description="Take the half of each source apart.")

    def by_row(self) -> bool:
        """Only above a bound; a half depends on the other rows."""
        return self.above is not None

    def pick(self, rows: Candidates) -> Outcome:
        """Keep the confident rows."""
        groups = rows.sources if self.per_source else None
        return select_confident(rows.score(self.score), rows.ids, groups, self.above)
