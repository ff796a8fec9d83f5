"""Which of two copies stays: one that later steps would take, then what the recipe prefers.

    order = (a later step would drop it, what `keep` names, in its order, example_id)

A copy that a later step would drop gives way to one that it would take, whatever else is preferred:
otherwise the one would go as a copy of the other, that one for its licence or its length, and both
would be gone. Known before copies are removed are the licences, whether a row can be trained on,
and the filters that decide about each row by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates
from pipeline.settings import Settings
from scorers.arrays import Floats, Strings


class SourceOrder(Settings):
    """Copies of some sources give way to those of others."""

    sources: tuple[str, ...] = Field(
        min_length=1,
        description="Paths of sources as the recipe writes them, the one whose copies stay first; "
        "after them the rows that stand in none of them.",
    )

    def __str__(self) -> str:
        """The order in words."""
        return "rows of " + " before ".join([*self.sources, "others"])


Keep = str | SourceOrder
"""A score, the higher one stays, or an order of sources."""


@dataclass(frozen=True, slots=True)
class Preference:
    """One thing that decides between copies."""

    name: str
    values: Floats  # (n,) the higher one stays; NaN comes last
    said: Strings  # (n,) what to say of each row's value


def later_steps(objections: Strings) -> Preference:
    """Rows that later steps would take come first.

    Args:
        objections: (n,) why a later step will drop a row, "" where none will.
    """
    said = np.where(objections == "", "taken", objections)
    return Preference("later steps", (objections == "").astype(np.float64), said)


def read_preferences(rows: Candidates, keep: Sequence[Keep]) -> list[Preference]:
    """What a recipe prefers, as columns of the rows."""
    return [
        _by_source(rows, each.sources) if isinstance(each, SourceOrder) else _by_score(rows, each)
        for each in keep
    ]


def _by_score(rows: Candidates, name: str) -> Preference:
    values = rows.score(name)
    return Preference(name, values, np.array([f"{each:.4f}" for each in values], dtype=object))


def _by_source(rows: Candidates, paths: Sequence[str]) -> Preference:
    turns = np.full(len(rows), len(paths))
    for turn in reversed(range(len(paths))):  # a row of two sources counts as of the first
        turns[rows.members(paths[turn])] = turn
    return Preference("source", -turns.astype(np.float64), np.array([*paths, "others"])[turns])


def rank_copies(preferences: Sequence[Preference], ids: Strings) -> Floats:
    """Say of which rows the copies go.

    Args:
        preferences: the first that tells two rows apart decides.
        ids: (n,) distinct example ids; the lower one stays where none does.

    Returns:
        (n,) of two copies the higher one stays; no two are equal.

    Raises:
        ValueError: if a value is infinite.
    """
    n = len(ids)
    turns = np.empty(n, dtype=np.int64)  # of the ids, ascending
    turns[sort_rows(np.zeros(n), ids)] = np.arange(n)
    for each in preferences:
        if np.isinf(each.values).any():
            raise ValueError(f"a value of {each.name} is infinite: a scorer must give NaN instead")
    # The last key counts first; NaN, also with a minus, is sorted last.
    order = np.lexsort((turns, *(-each.values for each in reversed(preferences))))
    ranked = np.empty(n)
    ranked[order] = -np.arange(n, dtype=np.float64)
    return ranked


def why_others_stay(preferences: Sequence[Preference], outcome: Outcome) -> list[str | None]:
    """(n,) for each row that went as a copy what decided for the other; None for the rest."""
    details: list[str | None] = [None] * len(outcome.reasons)
    gone = np.flatnonzero(outcome.because_of >= 0)
    stayed = outcome.because_of[gone]
    open_still = np.ones(len(gone), dtype=bool)
    for each in preferences:
        one, other = each.values[stayed], each.values[gone]
        decides = open_still & (one != other) & ~(np.isnan(one) & np.isnan(other))
        for row, kept in zip(gone[decides].tolist(), stayed[decides].tolist(), strict=True):
            details[row] = f"{each.name}: {each.said[kept]} before {each.said[row]}"
        open_still &= ~decides
    for row in gone[open_still].tolist():
        details[row] = "the lower example_id stays"
    return details
