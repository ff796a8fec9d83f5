"""What a trial will be able to see, before it is paid for: seeds → smallest effect.

    V(S) = V_items + V_seed / S,   df as in comparison.py,   smallest effect = (t + t_80) sqrt(V)

Both parts are those of an earlier trial in the workspace on the same items; where there is none,
they are guesses from losses of a 135M model: arms differ by 0.05 nats at an item, seeds by 0.03
there and by 0.003 on the whole; of an accuracy three items in ten change sides. A guess says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.trials.comparison import smallest_effect

OF_ITEM, OF_SEED, OF_BOTH = 0.05, 0.003, 0.03
"""Standard deviations, nats per token: of an arm at an item, of a seed, of a seed at an item."""

SIDES = 0.3
"""Share of items whose answer is right in one arm and wrong in the other."""

ACCURACY_OF_SEED = 0.01


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances of a difference of two arms."""

    items: int
    """Independent ones."""
    of_items: float
    of_seed: float
    """Of both arms together, trained once each."""
    guessed: bool

    def smallest(self, seeds: int, level: float) -> float | None:
        """The least difference seen four times in five; None of one seed."""
        if seeds < 2 or self.items < 2:
            return None
        of_arm = self.of_seed / 2 / seeds
        variance = self.of_items + 2 * of_arm
        if variance == 0:
            return 0.0
        squares = self.of_items**2 / (self.items - 1) + 2 * of_arm**2 / (seeds - 1)
        return smallest_effect(variance, variance**2 / squares, level)


def guess_spread(metric: str, items: int) -> Spread | None:
    """What is supposed where nothing was measured; None of a metric without a unit of its own."""
    if metric == "nll":
        of_items = 2 * (OF_ITEM**2 + OF_BOTH**2 / 3) / items
        return Spread(items, of_items, 2 * (OF_SEED**2 + OF_BOTH**2 / items), True)
    if metric in ("accuracy", "exact"):
        return Spread(items, SIDES / items, 2 * ACCURACY_OF_SEED**2, True)
    return None


def spread_of(comparison: Mapping[str, Any], items: int, seeds: int) -> Spread | None:
    """The variances of a comparison that was made, as a result keeps it; None of one seed."""
    if not comparison["variance"] or comparison["shares"] is None:
        return None
    of_items, *of_arms = (each * comparison["variance"] for each in comparison["shares"])
    return Spread(items, of_items, sum(of_arms) * seeds, False)
