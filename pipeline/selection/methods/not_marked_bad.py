"""Not marked bad: rows that a person read and found bad go.

    kept where no review of i has the verdict bad

Verdicts are those of the `reviews` table: from the page of `sluice view`, or read back by `sluice
screen`. A verdict is of an example, in whichever run it was read; the last one counts. Rows that
nobody read pass.

For taking out what reading found. Not for a source that nobody read: one with a few bad rows among
those read has more among the others, which `sluice screen` estimates, and copies of a bad row, or
what was made of it, stay. No model, one look-up for all rows.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import Filter, by_id
from scorers.arrays import Strings


def select_not_marked_bad(bad: NDArray[np.bool_], ids: Strings) -> Outcome:
    """Pick the rows that nobody found bad.

    Args:
        bad: (n,) whether the last verdict on a row is bad.
        ids: (n,) distinct example ids.

    Returns:
        The picks, by id; the others are "marked_bad".

    Raises:
        ValueError: if lengths differ.
    """
    if len(bad) != len(ids):
        raise ValueError(f"expected a verdict for each row, got {len(bad)} for {len(ids)} rows")
    reasons = no_reasons(len(ids))
    reasons[bad] = "marked_bad"
    return account_for(by_id(np.flatnonzero(~bad), ids), reasons, np.full(len(ids), np.nan))


class NotMarkedBad(Filter):
    """Drop what a person marked bad."""

    reads_reviews = True

    method: Literal["not_marked_bad"]

    def by_row(self) -> bool:
        """By the verdict on it."""
        return True

    def pick(self, rows: Candidates) -> Outcome:
        """Look up the verdict on each row."""
        return select_not_marked_bad(rows.marked_bad, rows.ids)
