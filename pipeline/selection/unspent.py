"""What of a budget is not spent, and why: of the whole, and of each group's share."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.outcome import Outcome
from scorers.arrays import Ints, Strings

HELD_BACK = ("over_budget", "covered")
"""Reasons of rows that a larger budget would buy; the other reasons no budget changes."""

GROUPS_SAID = 12
"""Notes name at most so many groups."""


def held_back(reasons: NDArray[np.object_]) -> bool:
    """Whether it is the budget alone that keeps one of the rows out."""
    return bool(np.isin(reasons, HELD_BACK).any())


def why_unspent(reasons: NDArray[np.object_]) -> str:
    """Why no more was taken of some rows, by their reasons; "" is that of the picks."""
    if held_back(reasons):
        return "the next row does not fit"
    out = sorted(Counter(reasons[reasons != ""]).items(), key=lambda each: (-each[1], each[0]))
    if not out:
        return "every row is taken"
    return f"no other row may be taken ({', '.join(f'{name} {rows}' for name, rows in out)})"


def describe_unspent(outcome: Outcome, costs: Ints, limit: int, unit: str) -> list[str]:
    """Say how much of a budget is not spent, and why; nothing where all of it is.

    Args:
        outcome: of all n rows.
        costs: (n,) rows or tokens.
        limit: the budget, in the same.
        unit: what the budget counts.
    """
    left = limit - int(costs[outcome.indices].sum())
    if left <= 0:
        return []
    why = why_unspent(outcome.reasons)
    return [f"{left} of the budget's {limit} {unit} are not spent: {why}"]


def describe_shortfalls(
    names: Strings, wanted: Mapping[str, int], outcome: Outcome, costs: Ints, unit: str
) -> list[str]:
    """Say of each group that could not use its share what it got, and why.

    Args:
        names: (n,) the group of each row.
        wanted: group → its share of the budget.
        outcome: of all n rows.
        costs: (n,) rows or tokens.
        unit: what the budget counts.
    """
    lines, gained = [], 0
    picked = outcome.reasons == ""
    for name, share in sorted(wanted.items()):
        members = names == name
        used = int(costs[members & picked].sum())
        gained += max(0, used - share)
        # Of tokens less than a row's worth is left over wherever a budget ends: no shortfall.
        if used < share and not held_back(outcome.reasons[members]):
            why = why_unspent(outcome.reasons[members])
            lines.append(f"{name} was to get {share} {unit} and got {used}: {why}")
    if more := lines[GROUPS_SAID:]:
        lines = [*lines[:GROUPS_SAID], f"and {len(more)} groups more fell short"]
    if lines and gained:
        lines.append(f"the other groups got {gained} {unit} more than their shares")
    return lines
