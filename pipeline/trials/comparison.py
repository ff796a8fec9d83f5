"""The difference of two arms with an interval over items and over trainings, and no fewer.

    D  = sum_i (a_i - b_i) / sum_i w_i           a_i, b_i: means over the trainings of an arm
    V  = var(r) / n + var_s(A) / S_A + var_s(B) / S_B        r_i = (a_i - b_i - D w_i) / mean(w)
    df = V^2 / ((var(r) / n)^2 / (n - 1) + V_A^2 / (S_A - 1) + V_B^2 / (S_B - 1))
    interval = D +- t_df sqrt(V)

Items are the same in both arms, so they are paired; trainings are not. An interval over items alone
takes one training for the arm, and one over trainings alone takes the test items for the world:
simulated, both miss a difference of nothing far more often than they say. This one holds, and is
wider than it needs to be where trainings hardly differ, as what an item does in one training is
counted twice. w_i is 1 for a mean over items, and the tokens of an item for a loss per token: r is
then the linearised ratio. Items of one cluster count as one: their r are summed, and n is the
number of clusters. An arm that is not trained has one value for each item and no V of its own.

Welch 1947 and Satterthwaite 1946 for the degrees of freedom; Miller 2024, arXiv:2411.00640, for
pairs and clusters.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from scorers.arrays import Floats, Ints

POWER = 0.8
"""Of the smallest effect that is told."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What the trainings of one arm made of the same items."""

    values: Floats
    """(trainings, items) sums over an item: nats, or 0 and 1."""
    trained: bool = True
    """False: one pass of a model that is not trained, which no seed changes."""

    @property
    def single(self) -> bool:
        """Whether it was trained once only, so that nothing says how far trainings differ."""
        return self.trained and len(self.values) < 2


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two arms are apart, A less B."""

    mean: float
    variance: float | None
    """Of the mean; None where an arm was trained once."""
    freedom: float
    shares: tuple[float, float, float] | None
    """Of the variance, from the items, the trainings of A, and those of B."""

    def half_width(self, level: float = 0.95) -> float | None:
        """Of the interval; None where there is none."""
        if self.variance is None:
            return None
        return float(stdtrit(self.freedom, (1 + level) / 2) * np.sqrt(self.variance))

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """From the lower end to the upper one; None of one training."""
        half = self.half_width(level)
        return None if half is None else (self.mean - half, self.mean + half)

    def chance(self) -> float | None:
        """How often a difference as large is seen where there is none (two-sided)."""
        if self.variance is None or self.variance == 0:
            return None
        return float(2 * stdtr(self.freedom, -abs(self.mean) / np.sqrt(self.variance)))

    def smallest_effect(self, level: float = 0.05) -> float | None:
        """The least difference that is seen four times in five at a level."""
        if self.variance is None:
            return None
        return smallest_effect(self.variance, self.freedom, level)


def smallest_effect(variance: float, freedom: float, level: float = 0.05) -> float:
    """(t_{1 - level / 2} + t_{POWER}) sqrt(V): the least difference seen four times in five."""
    quantiles = stdtrit(freedom, 1 - level / 2) + stdtrit(freedom, POWER)
    return float(quantiles * np.sqrt(variance))


def differ_by_items(
    first: Arm, second: Arm, weights: Floats | None = None, clusters: Ints | None = None
) -> Difference:
    """Compare two arms on the same items.

    Args:
        first: A, (S_A, n).
        second: B, (S_B, n).
        weights: (n,) tokens of each item, above 0; None: every item counts the same.
        clusters: (n,) codes of items that belong together; None: each is for itself.

    Raises:
        ValueError: if there are not the same items in both, or fewer than two clusters.
    """
    items = first.values.shape[1]
    if second.values.shape[1] != items:
        raise ValueError(f"arms of {items} and {second.values.shape[1]} items cannot be paired")
    of_item = np.ones(items) if weights is None else weights
    residuals, mean = paired_residuals(first, second, of_item)
    summed = residuals if clusters is None else sum_clusters(residuals, clusters)
    if (groups := len(summed)) < 2:
        raise ValueError(f"{groups} item or cluster gives no interval: name two at least")
    if first.single or second.single:
        return Difference(mean, None, 0.0, None)
    # summed adds up to 0, so its sum of squares is about its mean; over all n items, in clusters.
    of_items = float((summed**2).sum()) * groups / (groups - 1) / items**2
    parts = [
        (of_items, groups - 1),
        (variance_of_mean(first, of_item), len(first.values) - 1),
        (variance_of_mean(second, of_item), len(second.values) - 1),
    ]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Difference(mean, 0.0, float(groups - 1), None)
    freedom = variance**2 / sum(part**2 / free for part, free in parts if part > 0)
    shares = tuple(part / variance for part, _ in parts)
    return Difference(mean, variance, freedom, (shares[0], shares[1], shares[2]))


def paired_residuals(first: Arm, second: Arm, weights: Floats) -> tuple[Floats, float]:
    """(n,) by how far each item departs from the difference of the arms; and that difference."""
    apart = first.values.mean(axis=0) - second.values.mean(axis=0)
    mean = float(apart.sum() / weights.sum())
    residuals: Floats = (apart - mean * weights) / weights.mean()
    return residuals, mean


def sum_clusters(residuals: Floats, clusters: Ints) -> Floats:
    """(C,) sums over the items of each cluster."""
    codes = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    return np.bincount(codes, weights=residuals).astype(np.float64)


def variance_of_mean(arm: Arm, weights: Floats) -> float:
    """Of an arm's mean over its trainings; 0 where it is not trained."""
    if not arm.trained:
        return 0.0
    means = arm.values.sum(axis=1) / weights.sum()
    return float(means.var(ddof=1) / len(means))
