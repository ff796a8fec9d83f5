"""Looks at a trial that may end early, and the level of each: looking twice is not free.

    level_k = 2 (1 - Phi(c / sqrt(t_k))),   P(max_k |B(t_k)| >= c) = level

t_k is the share of the trainings that are done at look k, and B a Brownian motion from 0 to 1: the
bounds of O'Brien and Fleming 1979, strict at first and nearly the whole level at the last. c is
simulated, with a seed, for the looks that were planned: at 3, 5 and 8 seeds the levels are .001,
.012 and .046. Checking at 0.05 each time instead finds a difference where there is none in a ninth
of the trials.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

WALKS = 200_000


def look_levels(seeds: Sequence[int], level: float = 0.05) -> list[float]:
    """The level at each look, so that all together have `level`.

    Args:
        seeds: trainings of an arm at each look, rising.
        level: of all looks.

    Raises:
        ValueError: if they do not rise.
    """
    if list(seeds) != sorted({*seeds}) or not seeds or seeds[0] < 1:
        raise ValueError(f"looks are at rising numbers of seeds, from 1: got {list(seeds)}")
    if len(seeds) == 1:
        return [level]
    shares = np.array(seeds) / seeds[-1]
    steps = np.sqrt(np.diff(shares, prepend=0.0))
    walks = np.random.default_rng(0).standard_normal((WALKS, len(shares))) * steps
    bound = np.quantile(np.abs(walks.cumsum(axis=1)).max(axis=1), 1 - level)
    levels: list[float] = (2 * ndtr(-bound / np.sqrt(shares))).tolist()
    return levels
