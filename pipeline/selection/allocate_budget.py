"""Have the step that ranks spend its budget: on all rows, or in shares."""

from dataclasses import replace

from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.shares import (
    Shares,
    describe_mixture,
    group_rows,
    label_names,
    select_in_shares,
)
from pipeline.selection.source_names import name_sources
from pipeline.selection.step import BudgetSettings, RankStep
from pipeline.selection.unspent import describe_shortfalls, describe_unspent
from scorers.arrays import Ints, Strings

COLUMNS = ("source", "license", "origin")
"""What groups rows by itself; any other name is that of a score."""


def allocate_budget(rank: RankStep, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
    """Pick what the budget pays for, within each group where the step has shares.

    Returns:
        The picks; the notes say what each group got, which fell short, and what is not spent.

    Raises:
        ValueError: if a quota is for a group that no row is in.
    """
    budget = rank.budget.budget()
    costs, limit = budget.costs(len(rows), rows.loss_tokens)
    unit = "rows" if budget.loss_tokens is None else "loss tokens"
    if rank.shares is None:
        outcome = rank.pick(rows, vectors, seed)
    else:
        outcome = pick_in_shares(rank, rank.shares, rows, vectors, seed)
    left = describe_unspent(outcome, costs, limit, unit)
    return replace(outcome, notes=(*outcome.notes, *left))


def pick_in_shares(
    rank: RankStep, shares: Shares, rows: Candidates, vectors: Vectors, seed: int
) -> Outcome:
    """Pick within each group; the notes say what each got, and which fell short."""
    budget = rank.budget.budget()
    costs, limit = budget.costs(len(rows), rows.loss_tokens)
    unit = "rows" if budget.loss_tokens is None else "loss tokens"
    groups = group_rows(names_of(rows, shares), costs, shares)

    def pick(indices: Ints, part: int) -> Outcome:  # a fraction was made rows above
        own = BudgetSettings(rows=part) if unit == "rows" else BudgetSettings(loss_tokens=part)
        step = rank.model_copy(update={"budget": own})
        return step.pick(rows.at(indices), vectors, seed)

    outcome, wanted = select_in_shares(groups, costs, limit, pick)
    notes = [
        describe_mixture(groups, outcome.indices, costs),
        *describe_shortfalls(groups.names, wanted, outcome, costs, unit),
    ]
    return replace(outcome, notes=tuple(note for note in notes if note))


def names_of(rows: Candidates, shares: Shares) -> Strings:
    """(m,) the group of each row; "" where it has none."""
    if shares.by == "source":
        return name_sources(rows.sources, tuple(shares.quotas or ()))
    if shares.by == "license":
        return rows.licenses
    if shares.by == "origin":
        return rows.column("origin")
    return label_names(rows.score(shares.by))


def deciding_scores(rank: RankStep) -> tuple[str, ...]:
    """The scores that a row cannot be picked without: those that rank, and one that groups."""
    if rank.shares is None or rank.shares.by in COLUMNS:
        return rank.scores()
    return (*rank.scores(), rank.shares.by)
