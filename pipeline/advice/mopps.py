"""MoPPS: sample the tasks that are neither solved nor hopeless, by a Beta posterior of each.

    alpha <- lam * alpha + (1 - lam) * alpha_0 + s
    beta  <- lam * beta  + (1 - lam) * beta_0  + (k - s)
    p_i ~ Beta(alpha_i, beta_i);  take the B tasks with the least distance of p_i to [low, high]

s of k answers to a task were right in a round, lam is how much of the past is remembered, and the
prior is alpha_0 = beta_0 = 1. The published aim is p* = 0.5: low = high = 0.5. A draw and not the
mean decides, so that a task tried once still gets its turn. The draw is a hash of seed, round and
task, and depends on no other task. A task that was not tried in a round is left as it is.

What it is for: prompts or sources with answers that can be checked, of which the next round of
answers can pay for some. Nothing is learnt from a task that is always or never solved. Not for
tasks without a success to count: see `mpts`. It costs nothing.

MoPPS, 2025, arXiv:2507.04632. With one answer to a task, the authors' file makes both parameters
the constant 8, by the order of its operators; their text, and this, does not.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.ranking.order import sort_rows
from pipeline.selection.methods.random import random_keys
from scorers.arrays import Floats, Ints, Strings, require_same_length

PRIOR = 1.0
"""Both parameters of a task that nothing is known of: any rate of success is as likely."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of the rate of success of m tasks."""

    alpha: Floats
    """(m,) above 0."""
    beta: Floats
    """(m,) above 0."""

    @classmethod
    def unknown(cls, tasks: int) -> "Posterior":
        """The prior of so many tasks."""
        return cls(np.full(tasks, PRIOR), np.full(tasks, PRIOR))

    @property
    def mean(self) -> Floats:
        """(m,) expected rates of success."""
        return self.alpha / (self.alpha + self.beta)


@dataclass(frozen=True, slots=True)
class Aim:
    """Which rates of success are worth another round."""

    low: float = 0.5
    high: float = 0.5

    def __post_init__(self) -> None:
        """Raise ValueError if the bounds are not rates, or the wrong way round."""
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"expected 0 <= low <= high <= 1, got {self.low} and {self.high}")


def update(posterior: Posterior, right: Ints, tried: Ints, memory: float = 1.0) -> Posterior:
    """Take a round into account.

    Args:
        posterior: of m tasks, before it.
        right: (m,) answers that were right.
        tried: (m,) answers; where there were none, nothing changes.
        memory: lam: 1 counts all rounds alike, 0 forgets all but this one.

    Raises:
        ValueError: if lengths differ, more were right than tried, or memory is outside 0 to 1.
    """
    require_same_length(alpha=posterior.alpha, right=right, tried=tried)
    if not 0 <= memory <= 1:
        raise ValueError(f"memory must be from 0 to 1, got {memory}")
    if (right < 0).any() or (right > tried).any():
        raise ValueError("expected 0 <= right <= tried for every task")
    alpha = memory * posterior.alpha + (1 - memory) * PRIOR + right
    beta = memory * posterior.beta + (1 - memory) * PRIOR + (tried - right)
    seen = tried > 0
    return Posterior(np.where(seen, alpha, posterior.alpha), np.where(seen, beta, posterior.beta))


def draw_rates(posterior: Posterior, ids: Strings, seed: int, round: int) -> Floats:
    """Draw a rate of success (m,) for each task: the same for the same task, seed and round."""
    from scipy.special import betaincinv

    require_same_length(alpha=posterior.alpha, ids=ids)
    keys = random_keys([str(i) for i in ids], seed, f"mopps {round}")
    # The upper 53 bits, as many as a float64 holds; + 0.5, so that none is 0 nor 1.
    uniform = ((keys >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    rates: Floats = betaincinv(posterior.alpha, posterior.beta, uniform)  # the posterior's quantile
    return rates


def choose_tasks(rates: Floats, ids: Strings, count: int, aim: Aim | None = None) -> Ints:
    """Take the tasks whose drawn rates are nearest to the aim.

    Args:
        rates: (m,) from `draw_rates`.
        ids: (m,) distinct; the lower one wins a tie.
        count: How many.
        aim: The rates wanted; 0.5 if not given. Of those within, the middle ones come first.

    Returns:
        (count,) tasks, the nearest first.

    Raises:
        ValueError: if lengths differ, or there are not so many tasks.
    """
    require_same_length(rates=rates, ids=ids)
    if not 0 <= count <= len(ids):
        raise ValueError(f"there are {len(ids)} tasks, {count} were asked for")
    aim = aim or Aim()
    outside = np.maximum(0.0, np.maximum(aim.low - rates, rates - aim.high))  # 0 within
    nearness = sort_rows(np.abs(rates - (aim.low + aim.high) / 2), ids)
    # A stable sort keeps the order by nearness to the middle among those equally far outside.
    return nearness[np.argsort(outside[nearness], kind="stable")][:count]
