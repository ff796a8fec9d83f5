"""Trained turns: single turns that stay in their conversation as context, and are not trained.

    trained where at_least <= score of the turn <= at_most

For conversations of which some answers are good and others are not: a bad one costs itself and not
the dialogue, and the turns behind it are still trained with it in their context. By a score that
has a value for each turn: of losses, as the mean loss of the turn, or of turn ratings. Not for
single answers, where it is a threshold. A row of which no turn is left is dropped. No model.

After ATLAS (arXiv:2503.02197), which trains the critical steps of an agent's trajectory and has the
others read. There a model says which are critical, here a score does.
"""

from collections import Counter
from dataclasses import replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, TurnReasons, no_causes, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.methods.threshold import check_bounds, within
from pipeline.selection.step import Filter
from scorers.arrays import Floats, Strings


def select_trained_turns(
    values: Floats,
    trained: NDArray[np.bool_],
    ids: Strings,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    keep_unscored: bool = False,
) -> Outcome:
    """Pick the rows with a trained turn of minimum <= value <= maximum, and say which those are.

    Args:
        values: (n, k) of each trained turn; NaN where it has none: "no_score".
        trained: (n, k) the turns that are trained so far; of others nothing is said.
        ids: (n,) distinct example ids.
        minimum: The lowest value to train; None for no bound. Lower ones are "below_threshold".
        maximum: The highest value to train; None for no bound. Higher ones are "above_threshold".
        keep_unscored: Train turns without a value.

    Returns:
        The rows in the order of their ids. Of the others the reason is "no_score" if no turn of
        theirs has a value, or else "no_turn_left".

    Raises:
        ValueError: if neither bound is given, the minimum is above the maximum, or a bound is NaN.
    """
    low, high = within(minimum, maximum)
    found = np.full(values.shape, "", dtype=object)
    if not keep_unscored:
        found[np.isnan(values)] = "no_score"
    found[values < low] = "below_threshold"
    found[values > high] = "above_threshold"
    found[~trained] = ""
    left = (trained & (found == "")).any(axis=1)
    unscored = np.isnan(np.where(trained, values, np.nan)).all(axis=1)
    reasons = np.where(left, "", np.where(unscored, "no_score", "no_turn_left")).astype(object)
    picks = np.flatnonzero(left)
    return Outcome(
        picks[sort_rows(np.zeros(len(picks)), ids[picks])],
        reasons,
        no_causes(len(ids)),
        np.full(len(ids), np.nan),
        no_reasons(len(ids)),
        turns=TurnReasons(found, values),
    )


class TrainedTurns(Filter):
    """Train the turns with scores within bounds; the others stay as context."""

    method: Literal["trained_turns"]
    score: str = Field(description="The score that decides, of each trained turn by itself.")
    unscored: Literal["drop", "keep"] = Field(
        default="drop",
        description="What happens to turns without the score: drop makes them context, keep trains "
        "them.",
    )
    at_least: float | None = Field(default=None, description="The lowest score that is trained.")
    at_most: float | None = Field(default=None, description="The highest score that is trained.")

    @model_validator(mode="after")
    def one_bound(self) -> Self:
        """Check that there is something to hold scores against."""
        check_bounds(self.at_least, self.at_most)
        return self

    def by_row(self) -> bool:
        """By its own turns."""
        return True

    def pick(self, rows: Candidates) -> Outcome:
        """Apply the bounds to each turn."""
        outcome = select_trained_turns(
            rows.turn_score(self.score),
            rows.trained,
            rows.ids,
            self.at_least,
            self.at_most,
            keep_unscored=self.unscored == "keep",
        )
        return replace(outcome, notes=describe_taken(rows, outcome))


def describe_taken(rows: Candidates, outcome: Outcome) -> tuple[str, ...]:
    """How many turns of the rows that stay are context from now on, why, and what they weigh."""
    assert outcome.turns is not None
    stay = rows.where(outcome.reasons == "")
    taken = outcome.turns.reasons[outcome.reasons == ""]
    counts = Counter(reason for reason in taken.flat if reason)
    if not counts:
        return ()
    tokens = int((stay.loss_tokens - rows.left_by(outcome).loss_tokens).sum())
    why = ", ".join(f"{reason} {turns}" for reason, turns in sorted(counts.items()))
    return (
        f"{counts.total()} of {int(stay.trained.sum())} trained turns of the rows that stay are "
        f"context from here on, and their {tokens} loss tokens are not trained: {why}",
    )
