"""The middle of a ranking: what papers compare with as "mid perplexity".

    picks = the rows at floor(after * m), floor(after * m) + 1, ... of the m rows ranked by score

Two different things are published under that name, and "top perplexity" has two meanings as well:

- RDS+ (arXiv:2503.01807) takes the perplexity of prompt and response by the untuned model, highest
  first. Its top is the head of that order; its middle a thin slice right behind the first 33 %, as
  long as the budget. Both fall below random in all of its tables. As steps: `top_k` and `middle`
  by a `perplexity`. The score here is of the response alone, so it is the same rule by another
  number.
- CCDS (arXiv:2410.16208) takes the perplexity by a model that was tuned on examples of the target,
  lowest first: what is likely there, which tells domains and no difficulty. Its code shuffles each
  third, and the top begins with the first third, the middle with the second. As steps: train on the
  targets, name that model in `measure.losses`, and take `middle` by `grape`, which ranks the lowest
  perplexity first, with `shuffled: true` and `after: 0.333`, `before: 0.666` (0 and 0.333 for its
  top).

For comparing with; not for choosing rows to train on. A sort of the scores, no model.
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.ranking.budget import Budget, within_budget
from pipeline.ranking.order import rank_by_score, sort_rows
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.random import random_keys
from pipeline.selection.step import Ranked, RankStep, rank_values
from scorers.arrays import Floats, Ints, Strings


def select_middle(
    scores: Floats,
    ids: Strings,
    budget: Budget,
    loss_tokens: Ints | None = None,
    between: tuple[float, float] = (0.33, 1.0),
    seed: int | None = None,
) -> Outcome:
    """Pick rows from a place of a ranking on, as far as the budget goes.

    Args:
        scores: (n,) NaN where there is none; such rows are out as "no_score".
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit; rows beyond it are "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        between: Shares of the ranked rows, highest first: rows before the first are "above_share",
            rows from the second on "below_share". Places are rounded down.
        seed: Of the order in which rows between the two are taken; None: in that of the ranking.

    Returns:
        The picks in the order taken; values are the scores.

    Raises:
        ValueError: if a score is infinite, the shares are in no order, or the budget needs tokens
            that are not given.
    """
    low, high = between
    if not 0 <= low < high <= 1:
        raise ValueError(f"expected 0 <= after < before <= 1, got {low:g} and {high:g}")
    ranked = rank_by_score(scores, ids)
    first, last = int(low * len(ranked)), int(high * len(ranked))
    inside = ranked[first:last]
    if seed is not None:
        inside = inside[sort_rows(random_keys(ids[inside], seed, "middle"), ids[inside])]
    picks = within_budget(inside, budget, len(scores), loss_tokens)
    reasons = np.full(len(scores), "over_budget", dtype=object)
    reasons[np.isnan(scores)] = "no_score"
    reasons[ranked[:first]], reasons[ranked[last:]] = "above_share", "below_share"
    reasons[picks] = ""
    return account_for(picks, reasons, scores)


class Middle(RankStep):
    """The middle of a ranking, as baselines by perplexity have it."""

    method: Literal["middle"]
    score: Ranked = Field(description="The score that ranks, or several with their weights.")
    after: float = Field(
        default=0.33, ge=0, lt=1, description="Share of the ranked rows that is passed over first."
    )
    before: float = Field(
        default=1.0, gt=0, le=1, description="Share of the ranked rows behind which none is taken."
    )
    shuffled: bool = Field(
        default=False,
        description="Take the rows between the two at random, by the seed; false: in their order.",
    )

    @model_validator(mode="after")
    def some_rows(self) -> Self:
        """Check that there is something between the two."""
        if self.after >= self.before:
            raise ValueError(f"after {self.after:g} is not below before {self.before:g}")
        return self

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Rank, pass over, and cut."""
        between, drawn = (self.after, self.before), seed if self.shuffled else None
        scores, budget = rank_values(rows, self.score), self.budget.budget()
        return select_middle(scores, rows.ids, budget, rows.loss_tokens, between, drawn)
