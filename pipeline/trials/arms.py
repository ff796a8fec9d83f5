"""The rows of each arm of a trial, cut to one budget.

Arms are compared at equal loss tokens, or rows: a selection is the head of its order, a control is
drawn from the rows that the choice was made from. None is over the budget, and what is left of it
is less than a row, but for rows that are length-matched, which come as near as their lengths do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.ranking.budget import Budget, within_budget
from pipeline.selection.candidates import Candidates
from pipeline.selection.methods.length_matched import select_length_matched
from pipeline.selection.methods.longest import select_longest
from pipeline.selection.methods.random import select_random
from pipeline.selection.methods.shortest import select_shortest
from pipeline.trials.settings import Control
from scorers.arrays import Ints

SHORTFALL = 0.05
"""Share of the budget that an arm may lack, where that is more than a row."""


@dataclass(frozen=True, slots=True)
class ArmRows:
    """Rows of an arm, in the order picked."""

    ids: Sequence[str]
    loss_tokens: Ints
    """(n,) of each row; in int64."""

    @property
    def tokens(self) -> int:
        """Of all of them."""
        return int(self.loss_tokens.sum())

    def within(self, budget: Budget) -> "ArmRows":
        """As many of the first of them as the budget has room for."""
        order = np.arange(len(self.ids))
        kept = within_budget(order, budget, len(order), self.loss_tokens)
        return ArmRows([self.ids[at] for at in kept.tolist()], self.loss_tokens[kept])


def draw_control(
    control: Control, eligible: Candidates, choice: ArmRows, budget: Budget, seed: int
) -> ArmRows:
    """The rows of a control.

    Args:
        control: which, but for the untrained model.
        eligible: what the choice was made from.
        choice: the arm that lengths are matched with.
        budget: of every arm.
        seed: of the draw.

    Raises:
        ValueError: if rows of the choice are not among the eligible, and lengths are to be matched.
    """
    ids, tokens = eligible.ids, eligible.loss_tokens
    if control == "pool":
        return ArmRows(ids.tolist(), tokens)
    if control == "random":
        places = select_random(ids, budget, tokens, seed).indices
    elif control == "length_matched":
        places = match_lengths(eligible, choice, seed)
    elif control == "longest":
        places = select_longest(tokens, ids, budget).indices
    else:
        places = select_shortest(tokens, ids, budget).indices
    return ArmRows(ids[places].tolist(), tokens[places]).within(budget)


def match_lengths(eligible: Candidates, choice: ArmRows, seed: int) -> Ints:
    """(k,) places of rows as long as those of the choice."""
    place_of = {each: place for place, each in enumerate(eligible.ids.tolist())}
    if lacking := [each for each in choice.ids if each not in place_of]:
        raise ValueError(
            f"{len(lacking)} rows of the choice are not among those that it can be compared with: "
            "lengths are matched with a selection of the same run"
        )
    selected = np.array([place_of[each] for each in choice.ids], dtype=np.int64)
    outcome = select_length_matched(
        selected, eligible.loss_tokens, eligible.ids, seed, choice.loss_tokens
    )
    return outcome.indices


def require_enough(name: str, rows: ArmRows, budget: Budget, longest: int) -> None:
    """See that an arm spends its budget.

    Args:
        name: of the arm.
        rows: of it.
        budget: of every arm.
        longest: loss tokens of the longest row there is: the next one may have had as many.

    Raises:
        ValueError: if it lacks more than a row and SHORTFALL; the message has what it could spend.
    """
    in_tokens = budget.loss_tokens is not None
    asked = (budget.loss_tokens if in_tokens else budget.rows) or 0
    has, row = (rows.tokens, longest) if in_tokens else (len(rows.ids), 0)
    unit = "loss tokens" if in_tokens else "rows"
    if asked - has > max(row, SHORTFALL * asked):
        raise ValueError(
            f"arm {name} has {has:,} {unit}, and each is to be trained on {asked:,}: give a "
            f"budget of at most {has:,} {unit}"
        )
