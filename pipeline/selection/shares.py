"""Shares of a budget: so much of it for each source, or each group of any other kind.

    p_i = q_i where a quota says so;  p_i proportional to n_i^(1/T) otherwise

n_i are the rows (or the loss tokens) of group i and T is a temperature: at 1 groups keep their
natural proportions, above it small groups get more, and as T grows all get the same. Shares become
whole rows by largest remainders: everyone gets the integral part, what is left goes to the largest
fractions, ties to the name that comes first. A group that has less than its share is taken whole,
and what it leaves goes to the others in the same proportions. The step that ranks then picks within
each group, and the picks are put in turns, so that every beginning of the selection has about the
proportions of the whole.

For a pool of several sources, each of which must have its part: a mixture decides which skills the
model learns, and the ranking only by which rows. Do not use shares to mend a pool whose sources
differ in quality: filter it. Equal shares of very unequal sources take a small one whole, and what
is poor in it too. Costs nothing beside the ranking; a step
that walks down its ranking does so once for each group, and again where a group falls short.

Largest remainders are Hamilton's method of apportionment. Temperature is that of multilingual
mixtures: Arivazhagan et al. 2019, arXiv:1907.05019.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from pipeline.ranking.outcome import Outcome, account_for, no_causes, no_reasons
from pipeline.selection.apportion import (
    Weights,
    largest_remainders,
    quota_weights,
    share_out,
    take_turns,
)
from pipeline.selection.source_names import require_known
from pipeline.selection.unspent import GROUPS_SAID, held_back
from pipeline.settings import Settings, Share
from scorers.arrays import Floats, Ints, Strings, require_same_length

PickGroup = Callable[[Ints, int], Outcome]
"""Picks from the rows at these places, for this many rows or tokens; what it says is of them."""


def keys_as_text(value: object) -> object:
    """Let groups that are numbers, such as clusters, be written as numbers."""
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else value


class Shares(Settings):
    """How a budget is shared out among groups of rows."""

    by: str = Field(
        default="source",
        min_length=1,
        description="What groups rows: source, license, origin, or a score whose values are "
        "labels.",
    )
    quotas: Annotated[dict[str, Share], BeforeValidator(keys_as_text)] | None = Field(
        default=None,
        description="Group → its share of the budget; together at most 1. A source is named by "
        "its path or by parts of it: `dolly.jsonl`, or the folder.",
    )
    temperature: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Of the groups without a quota. 1: in proportion to their rows, or loss "
        "tokens; more: nearer to equal. 1 if not given.",
    )
    others: Literal["share", "drop"] = Field(
        default="share",
        description="Groups without a quota: share what the quotas leave, or drop; the quotas "
        "then share the whole budget.",
    )

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """Check that there are shares, and that they are shares of one whole."""
        if self.quotas is None and self.temperature is None:
            raise ValueError("give quotas, a temperature, or both")
        given = sum(Fraction(str(share)) for share in (self.quotas or {}).values())
        if given > 1:
            raise ValueError(f"the quotas add up to {float(given):g}, which is more than 1")
        if self.others == "drop" and not self.quotas:
            raise ValueError("others: drop needs quotas, or every row is dropped")
        if self.others == "drop" and self.temperature is not None:
            raise ValueError(
                "a temperature is for groups without a quota, and others: drop has none"
            )
        return self

    def __str__(self) -> str:
        """The shares in a few words."""
        parts = [f"{name} {share:g}" for name, share in (self.quotas or {}).items()]
        if self.others == "share":
            parts.append(f"others by temperature {self.temperature or 1:g}")
        return f"by {self.by} ({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows in groups, and what the groups weigh."""

    names: Strings
    """(n,) the group of each row; "" for none."""
    weights: Weights

    def rows_of(self, name: str) -> Ints:
        """Rows of a group, in their order."""
        return np.flatnonzero(self.names == name)


def select_in_shares(
    groups: Groups, costs: Ints, total: int, pick: PickGroup
) -> tuple[Outcome, dict[str, int]]:
    """Pick within each group for its share of a budget.

    A group has fallen short when it did not use its part and has no row that the budget alone
    keeps out. It then has what it could use, and the rest is shared out again.

    Args:
        groups: of the rows; each has a weight.
        costs: (n,) what each row costs, in rows or tokens.
        total: the budget, in the same.
        pick: picks from the rows of one group.

    Returns:
        All picks, taking turns; rows of no group are "no_score", those of groups with weight 0
        "no_share". And group → what it was to get at first.

    Raises:
        ValueError: if lengths differ.
    """
    require_same_length(groups=groups.names, costs=costs)
    members = {name: groups.rows_of(name) for name in sorted(groups.weights)}
    holds = {name: int(costs[rows].sum()) for name, rows in members.items()}
    outcome: dict[str, Outcome] = {}
    spent: dict[str, int] = {}
    # What each group would get if it held enough.
    wanted = largest_remainders(groups.weights, total if any(groups.weights.values()) else 0)
    while True:  # each round lowers what a group holds, or is the last
        parts = share_out(groups.weights, holds, total)
        # A group whose part is as before has been picked from already.
        changed = [name for name, part in parts.items() if part and spent.get(name) != part]
        for name in changed:
            outcome[name], spent[name] = pick(members[name], parts[name]), parts[name]
        short = {
            name: int(costs[members[name][each.indices]].sum())
            for name, each in outcome.items()
            if not held_back(each.reasons)
        }
        short = {name: used for name, used in short.items() if used < parts[name]}  # newly
        if not short:
            return join(groups, members, outcome), wanted
        holds |= short
        spent |= short  # and so its part in the next round is what it has: not picked again


def join(groups: Groups, members: Mapping[str, Ints], outcome: Mapping[str, Outcome]) -> Outcome:
    """The picks of all groups in one order, and what was said of every row."""
    n = len(groups.names)
    reasons, remarks, causes = no_reasons(n), no_reasons(n), no_causes(n)
    value: Floats = np.full(n, np.nan)
    details = np.full(n, None, dtype=object)
    reasons[:] = "no_score"  # of rows in no group
    for name, rows in members.items():
        reasons[rows] = "over_budget" if groups.weights[name] else "no_share"
    for name, each in outcome.items():
        rows = members[name]
        reasons[rows], remarks[rows], value[rows] = each.reasons, each.remarks, each.value
        if each.details is not None:
            details[rows] = each.details
        # From places within the group to rows of the pool; -1 stays.
        causes[rows] = np.where(each.because_of < 0, -1, rows[each.because_of])
    order = take_turns({name: len(each.indices) for name, each in outcome.items()})
    indices = [members[name][outcome[name].indices[turn]] for name, turn in order]
    joined = account_for(np.array(indices, dtype=np.int64), reasons, value, causes, remarks)
    return replace(joined, details=details)


def group_rows(names: Strings, costs: Ints, shares: Shares) -> Groups:
    """Put rows into the groups that shares speak of.

    Args:
        names: (n,) the group of each row; "" for none.
        costs: (n,) rows or tokens.
        shares: the recipe's.

    Raises:
        ValueError: if a quota is for a group that no row is in.
    """
    present = sorted(set(names.tolist()) - {""})
    quotas = shares.quotas or {}
    require_known(quotas, present, shares.by)
    sizes = {name: int(costs[names == name].sum()) for name in present}
    weights = quota_weights(sizes, quotas, shares.temperature or 1.0, shares.others)
    return Groups(names, weights)


def label_names(labels: Floats) -> Strings:
    """(n,) groups of rows by a score: 3.0 is "3", and "" where there is no score."""
    called = [
        # NaN is not equal to itself
        "" if label != label else str(int(label)) if label.is_integer() else repr(label)
        for label in labels.tolist()
    ]
    return np.array(called, dtype=object)


def describe_mixture(groups: Groups, picks: Ints, costs: Ints) -> str:
    """Say what share of what was spent each group got."""
    spent = {
        name: int(costs[picks[groups.names[picks] == name]].sum())
        for name, weight in groups.weights.items()
        if weight
    }
    whole = sum(spent.values())
    if not whole:
        return ""
    largest = sorted(spent, key=lambda name: (-spent[name], name))[:GROUPS_SAID]
    parts = [f"{name} {spent[name] / whole:.1%}" for name in sorted(largest)]
    more = len(spent) - len(largest)
    return f"shares: {', '.join(parts)}" + (f", and {more} groups more" if more else "")
