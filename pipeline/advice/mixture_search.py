"""Which exports help a task when they are mixed in: add one or drop one, by trained runs.

    beside the task's own rows:  try each set that has one export more or one less;
    go on from the best of them; end after two such steps without a lower held-out loss

A set is trained once for each seed, and sets are compared by the mean over seeds. The best of many
looks better than it is, so what is found is trained again with seeds that chose nothing, and so is
the task alone: only those are compared.

Brief et al. 2024, "Mixing It Up: The Cocktail Effect of Multi-Task Fine-Tuning on LLM Performance",
arXiv:2410.01109: a task with a general and a mathematical set can beat the task alone. The search
is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

PATIENCE = 2
"""Steps without a gain after which the search ends."""

LEVEL = 0.95

Added: TypeAlias = tuple[str, ...]
"""Exports beside the task's own, in the order in which they were given."""

LossesOf: TypeAlias = Callable[[Added], Sequence[float]]
"""Trains a mixture once for each seed; its held-out losses, in the order of the seeds."""


@dataclass(frozen=True, slots=True)
class TriedMixture:
    """A mixture that was trained."""

    added: Added
    losses: tuple[float, ...]
    """Held-out nats per token of the task, one for each seed."""

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.losses))


@dataclass(frozen=True, slots=True)
class MixtureSearch:
    """What was tried, in that order; the first is the task alone."""

    tried: tuple[TriedMixture, ...]
    stopped: bool
    """Whether there was something left to try when no more was allowed."""

    @property
    def best(self) -> TriedMixture:
        """The lowest mean; of equal ones the one that was tried first."""
        return min(self.tried, key=lambda each: each.mean)


@dataclass(frozen=True, slots=True)
class Gain:
    """How much lower a loss is, seed by seed."""

    mean: float
    """Nats per token; above 0: the mixture is better than the task alone."""
    interval: tuple[float, float] | None
    """95 % of Student's t over seeds; None of one seed."""

    @property
    def verdict(self) -> str:
        """In two words at most."""
        if self.interval is None:
            return "one seed"
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "not decided"


def search_mixtures(
    exports: Sequence[str], losses_of: LossesOf, at_most: int | None = None
) -> MixtureSearch:
    """Add and drop exports until two steps in a row have found nothing better.

    Args:
        exports: what can be added.
        losses_of: called once for each mixture, that of none first.
        at_most: mixtures that may be trained; None: as many as it takes.
    """
    tried: dict[Added, TriedMixture] = {(): TriedMixture((), tuple(losses_of(())))}
    current: Added = ()
    without_gain = 0
    while without_gain < PATIENCE:
        best = min(each.mean for each in tried.values())
        next_ones = [each for each in neighbours(current, exports) if each not in tried]
        room = len(next_ones) if at_most is None else at_most - len(tried)
        for added in next_ones[:room]:
            tried[added] = TriedMixture(added, tuple(losses_of(added)))
        if room < len(next_ones):
            return MixtureSearch(tuple(tried.values()), stopped=True)
        if not next_ones:
            break
        current = min(next_ones, key=lambda each: tried[each].mean)
        without_gain = 0 if tried[current].mean < best else without_gain + 1
    return MixtureSearch(tuple(tried.values()), stopped=False)


def neighbours(added: Added, exports: Sequence[str]) -> list[Added]:
    """Mixtures with one export more, or one less."""
    return [
        tuple(other for other in exports if (other in added) != (other == name)) for name in exports
    ]


def bound_mixtures(exports: int) -> tuple[int, int]:
    """How many mixtures a search trains: at least, and at most."""
    # None; each alone; then from the best of those each other beside it, unless there is no other.
    return 1 + exports + max(0, exports - 1), 2**exports


def compare_seeds(alone: Sequence[float], mixed: Sequence[float]) -> Gain:
    """How much lower the losses of a mixture are than those of the task alone.

    Args:
        alone: (seeds,)
        mixed: (seeds,) with the same seeds, in the same order.
    """
    if len(alone) != len(mixed):
        raise ValueError(f"{len(alone)} losses alone and {len(mixed)} of a mixture")
    differences = np.array(alone) - np.array(mixed)
    mean = float(differences.mean())
    if len(differences) < 2:
        return Gain(mean, None)
    from scipy.stats import t

    half = t.ppf((1 + LEVEL) / 2, len(differences) - 1) * differences.std(ddof=1)
    half /= np.sqrt(len(differences))
    return Gain(mean, (mean - float(half), mean + float(half)))
