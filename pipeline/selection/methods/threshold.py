"""Scores within bounds.

    kept where at_least <= score <= at_most

For bounds that mean something by themselves, such as IFD at most 1 or a context dependency of 0.6
and more; not for a score whose scale moves with the model, such as a perplexity: there a budget
says better how many stay. A comparison for each row, no model.
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.ranking.order import rank_by_score
from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import FilterStep
from scorers.arrays import Floats, Strings


def select_within(
    scores: Floats, ids: Strings, minimum: float | None = None, maximum: float | None = None
) -> Outcome:
    """Pick the rows with minimum <= score <= maximum; a score equal to a bound is within.

    Args:
        scores: (n,) NaN where there is none; such rows are never picked: "no_score".
        ids: (n,) distinct example ids; the lower one comes first in a tie.
        minimum: The lowest score to pick; None for no bound. Lower ones are "below_threshold".
        maximum: The highest score to pick; None for no bound. Higher ones are "above_threshold".

    Returns:
        The picks, highest first; values are the scores.

    Raises:
        ValueError: if neither bound is given, the minimum is above the maximum, a bound is NaN, or
            a score is infinite.
    """
    low, high = within(minimum, maximum)
    ranked = rank_by_score(scores, ids)
    reasons = no_reasons(len(scores))
    reasons[np.isnan(scores)] = "no_score"
    reasons[scores < low] = "below_threshold"
    reasons[scores > high] = "above_threshold"
    return account_for(ranked[reasons[ranked] == ""], reasons, scores)


def within(minimum: float | None, maximum: float | None) -> tuple[float, float]:
    """The bounds as numbers, an end without a bound as infinity.

    Raises:
        ValueError: if neither is given, the minimum is above the maximum, or one is NaN.
    """
    low = -np.inf if minimum is None else minimum
    high = np.inf if maximum is None else maximum
    if (minimum is None and maximum is None) or not low <= high:
        raise ValueError(f"expected minimum <= maximum and one of them, got {minimum}, {maximum}")
    return low, high


def check_bounds(at_least: float | None, at_most: float | None) -> None:
    """Check that there is something to hold scores against."""
    if at_least is None and at_most is None:
        raise ValueError("give at_least, at_most or both")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ValueError(f"at_least {at_least} is above at_most {at_most}")


class Threshold(FilterStep):
    """Keep scores within bounds."""

    method: Literal["threshold"]
    score: str = Field(description="The score that decides.")
    at_least: float | None = Field(default=None, description="The lowest score that stays.")
    at_most: float | None = Field(default=None, description="The highest score that stays.")

    @model_validator(mode="after")
    def one_bound(self) -> Self:
        """Check that there is something to hold scores against."""
        check_bounds(self.at_least, self.at_most)
        return self

    def by_row(self) -> bool:
        """By its own score."""
        return True

    def pick(self, rows: Candidates) -> Outcome:
        """Apply the bounds."""
        return select_within(rows.score(self.score), rows.ids, self.at_least, self.at_most)
