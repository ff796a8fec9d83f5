"""RDS+'s choice: targets take turns, and each takes the row nearest to it that is left.

    s(q, x) = cos(q, x)                       q a target, x a row
    s(t, x) = max over the q of t of s(q, x)  t a task: a source of targets

In every round each target, or each task, takes its row of the highest s that none has taken, until
the budget is spent. So all have the same number of rows, whatever the level of their cosines, which
differs a good deal between tasks: that is why turns did better than the highest mean or maximum
(50.9 against 47.9 over seven tasks). It is exact: the lists of a target are found in blocks and
longer when they are used up (pipeline/ranking/nearest_lists.py). Rows that are targets themselves,
or answers to the prompt of one, are never taken, and are counted.

With `text: weighted` the vectors are those of RDS+: the mean of the last hidden states of the model
that is to be tuned, over prompt and response, later tokens weighted more. `whiten` is CRDS-W: the
same vectors without the few directions that all have in common. Other texts of the embeddings can
be compared in the same way.

For a task of which there are tens to hundreds of examples, and a pool of many kinds of rows; it was
the best of nine ways in all three tables of its authors, who ran each once. Not for examples unlike
what is wanted: with the wrong ones it came 7 points below random. Nor for a small budget, if what
counts is cost: by the authors' own count it pays from 326,000 chosen rows on, and below that more
random rows do as well for the same compute. So see what choosing cost (`sluice trial`). The vectors
cost one pass of the model over the pool, in the pass that losses take anyway; the choice a product
of (n, d) and (d, m), and again for a list that is used up.

RDS+: Ivison et al. 2025, arXiv:2503.01807. CRDS-W: arXiv:2602.13773, whose claim is an abstract's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.budget import Budget
from pipeline.ranking.greedy_diverse import unit_vectors
from pipeline.ranking.nearest_lists import Near, NearestLists
from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.ranking.searches import Vectors32
from pipeline.ranking.whitening import Whitening, fit_whitening
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.random import random_keys
from pipeline.selection.step import ComparedText, RankStep, by_id, own_note
from scorers.arrays import Ints, Strings, require_same_length

FITTED_ON = 500_000
"""Rows that the whitening is fitted on at most, drawn by the seed."""

SPARE = 32
"""Rows in each list beside a target's share of the budget, for those that others take first."""


@dataclass(frozen=True, slots=True)
class Queries:
    """What rows are compared with."""

    names: Sequence[str]  # (m,) example ids
    vectors: Vectors32
    """(m, d) of length 1; one with a NaN is left out."""
    tasks: Sequence[str] | None = None
    """(m,) the source of each, where tasks take turns; None: each query does."""

    def groups(self) -> dict[str, Ints]:
        """Who takes turns, in their order → the queries of each."""
        known = np.flatnonzero(~np.isnan(self.vectors).any(axis=1)).tolist()
        called = self.names if self.tasks is None else self.tasks
        groups: dict[str, list[int]] = {}
        for at in sorted(known, key=lambda at: (called[at], self.names[at])):
            groups.setdefault(called[at], []).append(at)
        return {name: np.array(each, dtype=np.int64) for name, each in groups.items()}


def select_targets(
    vectors: Vectors32,
    ids: Strings,
    queries: Queries,
    budget: Budget,
    loss_tokens: Ints | None = None,
    own: NDArray[np.bool_] | None = None,
) -> Outcome:
    """Have targets take turns, each taking the nearest row that is left.

    Args:
        vectors: (n, d) of length 1; a row with a NaN is out as "no_embedding".
        ids: (n,) distinct example ids; the lower one wins a tie. Cosines are compared to 6
            decimals.
        queries: the targets.
        budget: The limit; it ends before the first row that does not fit, and the others are
            "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        own: (n,) rows that are targets, or answers to their prompts: out as "is_target".

    Returns:
        The picks in the order taken; values are the cosines. The details of a pick say which target
        took it, and which number it has in the list of that one.

    Raises:
        ValueError: if lengths differ, no query has a vector, or a vector is not of length 1.
    """
    require_same_length(vectors=vectors, ids=ids)
    own = np.zeros(len(ids), dtype=np.bool_) if own is None else own
    groups = queries.groups()
    if not groups:
        raise ValueError("targets: none of those given has a vector to compare rows by")
    reasons = np.full(len(ids), "over_budget", dtype=object)
    reasons[np.isnan(vectors).any(axis=1)] = "no_embedding"
    reasons[own] = "is_target"
    rows = by_id(np.flatnonzero(reasons == "over_budget"), ids)  # ties go by id
    costs, limit = budget.costs(len(ids), loss_tokens)
    values, details = np.full(len(ids), np.nan), np.full(len(ids), None, dtype=object)
    picks: list[int] = []
    if len(rows):
        fits = int(np.searchsorted(np.cumsum(np.sort(costs[rows])), limit, side="right"))
        lists = NearestLists(
            unit_vectors(vectors[rows]),
            queries.vectors,
            list(groups.values()),
            SPARE + fits // len(groups),
        )
        names = list(groups)
        for group, place, near in go_round(lists, len(groups), costs[rows], limit):
            row = int(rows[near.rows[place]])
            picks.append(row)
            values[row] = near.similarity[place]
            target = queries.names[near.query[place]]
            of = f"source {names[group]}" if queries.tasks is not None else "it"
            details[row] = f"taken for target {target}, number {place + 1} in the list of {of}"
    reasons[picks] = ""
    outcome = account_for(np.array(picks, dtype=np.int64), reasons, values)
    return replace(outcome, details=details, notes=own_note(int(own.sum())))


def go_round(
    lists: NearestLists, groups: int, costs: Ints, limit: int
) -> Iterator[tuple[int, int, Near]]:
    """Go round the groups, each taking its nearest free row, while the budget has room for it.

    Yields:
        Who took a row, its place in the list of that one, and the list.
    """
    free = np.ones(len(costs), dtype=np.bool_)
    turn = list(range(groups))
    while turn:
        left = []
        for group in turn:
            found = lists.next_free(group, free)
            if found is None:  # every row is taken
                continue
            place, near = found
            row = near.rows[place]
            if limit <= 0 or costs[row] > limit:
                return
            limit -= int(costs[row])
            free[row] = False
            left.append(group)
            yield group, place, near
        turn = left


def whiten_rows(vectors: Vectors32, ids: Strings, dimensions: int, seed: int) -> Whitening:
    """The map that whitens the rows (n, d) that have a vector, or a seeded sample of them."""
    known = by_id(np.flatnonzero(~np.isnan(vectors).any(axis=1)), ids)  # sums are in their order
    if len(known) > FITTED_ON:
        keys = random_keys(ids[known], seed, "whitening")
        known = by_id(known[sort_rows(keys, ids[known])[:FITTED_ON]], ids)
    return fit_whitening(vectors, known, dimensions)


class TargetTurns(RankStep):
    """RDS+: targets take turns, each taking the row nearest to it (arXiv 2503.01807)."""

    method: Literal["targets"]
    text: ComparedText = "weighted"
    rounds: Literal["targets", "tasks"] = Field(
        default="targets",
        description="Who takes turns: each target, or each task, which is a source of targets; for "
        "several tasks the second is published.",
    )
    whiten: bool = Field(
        default=False,
        description="Compare without the directions that most rows have in common, as CRDS-W does.",
    )
    dimensions: int = Field(
        default=512, gt=1, description="Of whitened vectors at most: the directions of most spread."
    )

    def compares_targets(self) -> bool:
        """With each row."""
        return True

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Have the targets take turns."""
        found = vectors(self.text, rows).astype(np.float32)
        targets = rows.pool.targets(self.text)
        compared, notes = targets.vectors.astype(np.float32), []
        if self.whiten and len(rows):
            whitening = whiten_rows(found, rows.ids, self.dimensions, seed)
            found, compared = whitening.units(found), whitening.units(compared)
            notes.append(f"whitened by {whitening.rows} rows, to {whitening.dimensions} dimensions")
        if without := len(set(targets.ids[np.isnan(compared).any(axis=1)].tolist())):
            notes.append(
                f"{without} of the {len(set(targets.ids.tolist()))} targets have no vector and "
                "take no turn"
            )
        own = rows.are_targets()
        if self.rounds == "tasks":  # a target of two sources serves in both
            queries = Queries(targets.ids.tolist(), compared, targets.sources.tolist())
        else:
            first = np.unique(targets.ids.astype(str), return_index=True)[1]
            queries = Queries(targets.ids[first].tolist(), compared[first])
        budget = self.budget.budget()
        outcome = select_targets(found, rows.ids, queries, budget, rows.loss_tokens, own)
        return replace(outcome, notes=(*notes, *outcome.notes))
