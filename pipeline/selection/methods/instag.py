"""InsTag's draw: the rows with most tags first, each of which must bring a tag that is new.

    row i is picked if tags_i has a tag that is in no row picked in this pass

Rows are walked in the order of their number of tags, or of another score. When a pass is over, the
tags seen are forgotten and the rows left are walked again, until the budget is spent. So the first
pass takes every tag of the pool, with few rows, and each further pass every tag that is left. Lu et
al. 2023, "#InsTag", arXiv:2308.07074. With `again` off there is one pass: the choice by tags that
DEITA (arXiv:2312.15685) compares its own filter with, where rows are walked by its score.

For a broad set where tags are to be had from a model that names intents well. Rows with many tags
are long prompts: look at the length-matched control. Not for tags that a small model wrote badly:
the choice is then as bad as they are, and `diverse` and `k_centre` need an embedding only. Cost:
for each pass, the sets of tags that differ.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.budget import Budget
from pipeline.ranking.order import rank_by_score
from pipeline.ranking.outcome import Outcome, account_for, no_causes
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.step import Ranked, RankStep, rank_values
from scorers.arrays import Floats, Ints, Strings, require_same_length

TagSets = frozenset[str]


class _Pass:
    """The tags seen in one pass, each with the pick that brought it."""

    def __init__(self) -> None:
        self.brought: dict[str, tuple[int, int]] = {}
        """Tag → number of the pick within the pass, and its row."""
        self.picks = 0

    def is_new(self, tags: TagSets) -> bool:
        """Whether one of these tags has not been seen."""
        return any(tag not in self.brought for tag in tags)

    def take(self, row: int, tags: TagSets) -> None:
        """See the tags of a pick."""
        for tag in tags:
            self.brought.setdefault(tag, (self.picks, row))
        self.picks += 1

    def completed_by(self, tags: TagSets) -> int:
        """The pick with which the last of these tags came, all of them seen."""
        return max(self.brought[tag] for tag in tags)[1]


class _Walk:
    """Rows in order, those with the same tags behind one another: only the first can bring any."""

    def __init__(self, order: Ints, tags: Sequence[TagSets], costs: Ints, limit: int) -> None:
        self.indices = {row: place for place, row in enumerate(order.tolist())}
        self.left: dict[TagSets, list[int]] = {}
        for row in reversed(order.tolist()):  # so that the next of each list is at its end, for pop
            self.left.setdefault(tags[row], []).append(row)
        self.costs, self.limit = costs, limit
        self.picks: list[int] = []

    def one_pass(self) -> tuple[_Pass, int]:
        """Pick what brings a new tag; say what was seen, and the place at which it ended."""
        seen = _Pass()
        # One row for each set of tags: in the same pass a second one would bring nothing.
        heads = [(self.indices[rows[-1]], tags) for tags, rows in self.left.items() if rows]
        for place, tags in sorted(heads, key=lambda head: head[0]):
            row, new = self.left[tags][-1], seen.is_new(tags)
            if self.limit <= 0 or (new and self.costs[row] > self.limit):
                return seen, place
            if new:
                seen.take(row, tags)
                self.picks.append(self.left[tags].pop())  # the row itself; gone from later passes
                self.limit -= int(self.costs[row])
        return seen, len(self.indices)


def pick_new_tags(
    order: Ints, tags: Sequence[TagSets], costs: Ints, limit: int, again: bool
) -> tuple[Ints, Ints]:
    """Walk rows and pick those that bring a new tag, in passes.

    Args:
        order: (m,) rows that have tags, the preferred first.
        tags: (n,) of every row.
        costs: (n,) what picking a row costs.
        limit: What may be spent; it ends before the first pick that does not fit.
        again: Whether to forget the tags when a pass is over and walk again.

    Returns:
        The picks (k,) in the order picked; and for each row (n,) that was passed over in the last
        pass the pick with which the last of its tags had come, -1 for the others.
    """
    walk, causes = _Walk(order, tags, costs, limit), no_causes(len(tags))
    seen, end = walk.one_pass()
    while again and end == len(order) and len(walk.picks) < len(order):  # a pass that was cut: stop
        seen, end = walk.one_pass()
    for same, rows in walk.left.items():
        for row in rows:
            if walk.indices[row] < end:  # from `end` on the last pass looked at no row
                causes[row] = seen.completed_by(same)
    return np.array(walk.picks, dtype=np.int64), causes


def select_instag(
    tags: NDArray[np.object_],
    ids: Strings,
    budget: Budget,
    loss_tokens: Ints | None = None,
    scores: Floats | None = None,
    again: bool = True,
) -> Outcome:
    """Pick rows in the order of their number of tags, each of which brings a new one.

    Args:
        tags: (n,) the tags of each row as a collection of texts, None where they could not be had.
            Such rows, and those with none, are out as "no_tags".
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit. Rows walked past in the last pass are out as "no_new_tag", those not
            reached as "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        scores: (n,) what orders the rows instead, highest first; a row without one (NaN) is out as
            "no_score".
        again: Whether to forget the tags when a pass is over and walk again.

    Returns:
        The picks in the order picked. `because_of` is the pick with which the last of the tags of
        a "no_new_tag" had come. Values are the numbers of tags, or the scores.

    Raises:
        ValueError: if lengths differ, or a score is infinite.
    """
    require_same_length(tags=tags, ids=ids)
    n = len(ids)
    sets = [frozenset(each or ()) for each in tags]
    counts = np.array([np.nan if each is None else len(each) for each in tags], dtype=np.float64)
    values = counts if scores is None else scores
    reasons = np.full(n, "over_budget", dtype=object)
    reasons[np.isnan(values)] = "no_score"
    reasons[~(counts > 0)] = "no_tags"  # NaN too: no comparison with it is true
    ranked = rank_by_score(values, ids)
    order = ranked[reasons[ranked] == "over_budget"]
    picks, causes = pick_new_tags(order, sets, *budget.costs(n, loss_tokens), again)
    reasons[causes >= 0] = "no_new_tag"
    reasons[picks] = ""
    return account_for(picks, reasons, values, causes)


class InsTag(RankStep):
    """The rows with most tags, each bringing a new one (InsTag, arXiv 2308.07074)."""

    method: Literal["instag"]
    score: Ranked | None = Field(
        default=None, description="What orders the rows; the number of their tags if not given."
    )
    again: bool = Field(
        default=True,
        description="Forget the tags seen when a pass is over, and walk the rest again; false: one "
        "pass, as DEITA compares itself with.",
    )

    def measures(self) -> tuple[str, ...]:
        """The tags of each prompt."""
        return ("tags",)

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Walk the rows."""
        scores = None if self.score is None else rank_values(rows, self.score)
        budget = self.budget.budget()
        return select_instag(rows.tags, rows.ids, budget, rows.loss_tokens, scores, self.again)
