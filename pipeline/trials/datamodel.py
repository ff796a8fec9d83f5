"""Whether a score knows anything about training: the linear datamodelling score of random halves.

    LDS = Spearman over halves D of  ( sum over x in D of s(x),  how well a training on D does )

A model is trained on each of m random halves of the same rows. If more of a score means a better
row, halves with more of it train better models: 1 says that the order of halves is that of their
scores, 0 that the score knows nothing, less than 0 that low scores are the better ones. It holds
for every score, not for gradients alone. The interval is by the bootstrap over halves: simulated,
with 8 to 48 of them, its 95 % hold the truth in 93 to 98 %. With 24 it is about 0.8 wide, so that
an LDS of 0.4 is just told from nothing. Halves that are trained twice say how far any score could
agree: with r the Spearman of the two trainings of the same halves, at most about
sqrt(2 r / (1 + r)).

Park et al. 2023 (TRAK), arXiv:2303.14186; there it is taken for each item by itself, here for the
mean over an evaluation.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from pipeline.ranking.order import mean_ranks
from scorers.arrays import Floats, require_same_length

RESAMPLES = 2000

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """How far one score and one evaluation agree over halves."""

    score: str
    evaluation: str
    lds: float | None
    """None: the score, or what was trained, is the same in all halves."""
    interval: tuple[float, float] | None

    @property
    def said(self) -> str:
        """In words."""
        if self.interval is None:
            return "nothing varies"
        low, high = self.interval
        if low > 0:
            return "it knows something"
        return "low scores are the better ones" if high < 0 else "not told from chance"


def spearman(one: Floats, other: Floats) -> float | None:
    """Rank correlation of two columns (m,); None where one of them does not vary."""
    require_same_length(one=one, other=other)
    a, b = mean_ranks(one), mean_ranks(other)
    spread = float(a.std() * b.std())
    if not spread:
        return None
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread)


def agree(score: str, evaluation: str, sums: Floats, outcomes: Floats) -> ScoreAgreement:
    """The linear datamodelling score with its interval.

    Args:
        score: its name.
        evaluation: that of what was measured.
        sums: (m,) of the score over each half.
        outcomes: (m,) of the training on each half, higher is better.
    """
    found = spearman(sums, outcomes)
    if found is None:
        return ScoreAgreement(score, evaluation, None, None)
    m = len(sums)
    at = np.random.default_rng(0).integers(0, m, (RESAMPLES, m))
    ranks = [rankdata(column[at], axis=1) - (m + 1) / 2 for column in (sums, outcomes)]
    spread = np.prod([np.linalg.norm(each, axis=1) for each in ranks], axis=0)
    drawn = spread > 0  # not where one half was drawn m times
    again = (ranks[0] * ranks[1]).sum(axis=1)[drawn] / spread[drawn]
    low, high = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return ScoreAgreement(score, evaluation, found, (float(low), float(high)))


def highest_agreement(outcomes: Floats) -> float | None:
    """About the most that any score could agree with the mean over trainings.

    Args:
        outcomes: (trainings, m) of the same halves.

    Returns:
        None of one training, or where they do not agree at all.
    """
    count = len(outcomes)
    pairs = [
        spearman(outcomes[a], outcomes[b]) or 0.0 for a in range(count) for b in range(a + 1, count)
    ]
    if not pairs:
        return None
    one = float(np.mean(pairs))
    return float(np.sqrt(count * one / (1 + (count - 1) * one))) if one > 0 else None
