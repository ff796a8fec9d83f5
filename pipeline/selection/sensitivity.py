"""How easily a selection moves: the share of its picks that go when something small changes.

    moved = |S - S'| / |S|

S is the selection and S' the one made with a weight or a bound 10 % higher or lower, or with the
next seed; all other settings and the held-out rows stay. A selection of which a tenth of a weight
moves half rests on that weight. A method that draws moves with the seed, and how far is the noise
that a comparison of two selections has to exceed.

Cost: the recipe's steps once more for each change, one for the seed and two for each bound and each
weight. `select.sensitivity: false` leaves it out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.threshold import Threshold
from pipeline.selection.run_steps import SelectSettings, choose_rows
from pipeline.selection.step import Blend
from pipeline.selection.steps import Step

STEP = 0.1
"""Share by which a weight or a bound is moved."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What one small change does."""

    change: str
    moved: float
    """Share of the picks that are no longer picked."""
    rows: int
    """That are picked then."""


class Variant(NamedTuple):
    """A small change of how a selection is made."""

    change: str
    settings: SelectSettings
    """With the change."""
    seed: int


def variants(settings: SelectSettings, seed: int) -> Iterator[Variant]:
    """Another seed, and every bound and weight moved a little."""
    yield Variant(f"seed {seed} → {seed + 1}", settings, seed + 1)
    for place, step in enumerate(settings.steps):
        for change, moved in (*moved_bounds(step), *moved_weights(step)):
            steps = (*settings.steps[:place], moved, *settings.steps[place + 1 :])
            yield Variant(change, settings.model_copy(update={"steps": steps}), seed)


def moved_bounds(step: Step) -> Iterator[tuple[str, Step]]:
    """A threshold with one bound a little higher or lower, as far as the other bound allows."""
    if not isinstance(step, Threshold):
        return
    for name in ("at_least", "at_most"):
        bound = getattr(step, name)
        # A bound of 0 has no tenth to move by. abs: of a negative one, too, "higher" is upwards.
        for how, by in (("higher", STEP), ("lower", -STEP)) if bound else ():
            moved = step.model_copy(update={name: bound + by * abs(bound)})
            if None in (moved.at_least, moved.at_most) or moved.at_least <= moved.at_most:  # type: ignore[operator]
                yield f"{name} of {step.score} 10 % {how}", moved


def moved_weights(step: Step) -> Iterator[tuple[str, Step]]:
    """A ranking with one of several weights a little larger or smaller."""
    ranked = step.ranked
    if not isinstance(ranked, Blend) or len(ranked.weights) == 1:
        return  # of one weight only the sign counts
    for name, weight in ranked.weights.items():
        for how, by in (("larger", STEP), ("smaller", -STEP)):
            weights = {**ranked.weights, name: weight * (1 + by)}
            blend = ranked.model_copy(update={"weights": weights})
            yield f"weight of {name} 10 % {how}", step.model_copy(update={"score": blend})


def measure_sensitivity(
    eligible: Candidates, chosen: Candidates, settings: SelectSettings, vectors: Vectors, seed: int
) -> list[Moved]:
    """Make the selection again with each small change and count what moves.

    Settings and seed are those by which `chosen` was taken of the rows that the first filter was
    given, `eligible`.
    """
    picks = set(chosen.indices.tolist())
    found = []
    for each in variants(settings, seed) if picks else ():
        again = choose_rows(eligible, each.settings, vectors, each.seed).chosen.indices.tolist()
        found.append(Moved(each.change, len(picks.difference(again)) / len(picks), len(again)))
    return found
