"""CLEAR's Auto-Correct: replace a response by the tuned model's own where a judge is sure of it.

    p_i > eta                        replace: the repair stays, the given response goes
    p_i <= eta, c_i <= gamma         drop
    p_i <= eta, c_i > gamma          keep

p is `preference`, the judge's confidence that the repair is better, averaged over both orders; c is
`confidence` in the response that was given, gamma its median over those. Replacing wins over
dropping, and never do both versions of a row stay. As in `clear` the half above the median is
counted off, so that ties do not drop all; a response without a repair is judged by c alone.

It is for rows with a checkable answer of which a good part is wrong, and it takes two recipes: one
filters by `clear` and trains, the second generates repairs with that adapter and chooses. The
repairs are the model's own text: GRAPE's authors (arXiv:2502.04194) find that training on samples
of an already tuned copy makes a model worse, so look at what share was replaced. Not for
open-ended text, where c is low by nature. It costs one answer and two short questions for each row
beside what `clear` costs.

Chen and Mueller 2024, arXiv:2403.12776. How the paper treats the order of the two responses, and
low-confidence rows that were not beaten, is not known to us.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.outcome import Outcome, account_for, no_causes, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.methods.clear import select_confident
from pipeline.selection.step import Filter, by_id
from scorers.arrays import Floats, Ints, Strings, require_same_length


@dataclass(frozen=True, slots=True)
class RepairRule:
    """When a response is replaced, and when it is dropped."""

    eta: float = 0.8
    """Replaced above this preference."""
    gamma: float | None = None
    """Dropped at or below this confidence; None for the upper half."""
    groups: Strings | None = None
    """(n,) task or source of every row, each with an upper half of its own; None for one group."""


def select_repaired(
    confidence: Floats,
    preference: Floats,
    repairs: Ints,
    made: NDArray[np.bool_],
    ids: Strings,
    rule: RepairRule,
) -> Outcome:
    """Decide between each response and its repair.

    Args:
        confidence: (n,) of the given responses, NaN where there is none.
        preference: (n,) beside a given response, that for its repair; NaN where there is none.
        repairs: (n,) the row that is each one's repair; -1 where none is.
        made: (n,) rows that are repairs and nothing else. A row that is the repair of one and
            was also given is not among them, and stays if either holds.
        ids: (n,) distinct example ids.
        rule: The bounds.

    Returns:
        The picks by id. Of the others a given response is "repaired", because of its repair, or
        else "low_confidence" or "no_score"; a repair is "not_better", or "no_original" where what
        it repairs is not among the rows. Values are the preference where it decided, else the
        confidence.

    Raises:
        ValueError: if lengths differ, or a confidence is infinite.
    """
    require_same_length(
        confidence=confidence, preference=preference, repairs=repairs, made=made, ids=ids
    )
    reasons, causes, values = no_reasons(len(ids)), no_causes(len(ids)), confidence.copy()
    given = np.flatnonzero(~made)
    groups = None if rule.groups is None else rule.groups[given]
    reasons[given] = select_confident(confidence[given], ids[given], groups, rule.gamma).reasons

    compared = given[repairs[given] >= 0]
    reasons[made], values[made] = "no_original", np.nan  # until an original is found for it
    lost = repairs[compared]  # aligned with `compared`; a row may stand here for several
    reasons[lost[made[lost]]] = "not_better"
    # .at, as one repair may be of several rows, and fmax, as NaN there is no preference.
    np.fmax.at(values, lost[made[lost]], preference[compared][made[lost]])

    replaced = compared[preference[compared] > rule.eta]
    reasons[replaced], values[replaced] = "repaired", preference[replaced]
    causes[replaced] = repairs[replaced]
    reasons[repairs[replaced]] = ""  # it wins here, whatever else it loses against

    return account_for(by_id(np.flatnonzero(reasons == ""), ids), reasons, values, causes)


class ClearRepair(Filter):
    """CLEAR: replace what the tuned model answers better, drop what stays in doubt (2403.12776)."""

    of_repairs: ClassVar[bool] = True

    method: Literal["clear_repair"]
    confidence: str = Field(default="confidence", description="The score that says how sure.")
    preference: str = Field(
        default="preference", description="The score that says how much better the repair is."
    )
    eta: float = Field(default=0.8, ge=0, le=1, description="Replace above this preference.")
    above: float | None = Field(
        default=None,
        description="Keep what was given above this confidence; the upper half if not given.",
    )
    per_source: bool = Field(default=False, description="Take the half of each source apart.")

    def scores(self) -> tuple[str, ...]:
        """Both."""
        return (self.confidence, self.preference)

    def pick(self, rows: Candidates) -> Outcome:
        """Decide between responses and repairs."""
        groups = rows.sources if self.per_source else None
        return select_repaired(
            rows.score(self.confidence),
            rows.score(self.preference),
            rows.repairs(),
            rows.made(),
            rows.ids,
            RepairRule(self.eta, self.above, groups),
        )
