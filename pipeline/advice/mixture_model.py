"""Predict scores from mixture proportions, and search the best mixture (DaMo).

    x = p (t + 1) / T;   s_j = w_j x + b_j;   best = argmax over p of mean_j s_j(p), at the end

p are the proportions of a run's sources, t its checkpoint from 0 to T - 1, s_j the scores of its
benchmarks. w is fitted by ridge regression; the strength of its penalty is chosen within the rows
that are fitted. Curved: products of proportions are added, so that two sources can be better
together than either alone. Mixtures are all p = n / b for whole n that add up to b: there are
C(m + b - 1, m - 1) of them for m sources.

How far to trust it is R^2 on mixtures that were not fitted. All checkpoints of a mixture are put
into one fold: they are nearly the same point, and a split through them measures memory. The script
that comes with the paper splits so. On its own file of 50 mixtures a ridge split by mixture comes
to 0.27 and the paper's MLP to -0.01, where the script reports 0.57. Those are over all rows alike;
here R^2 is taken around the mean of each checkpoint, for that scores rise while training goes on
says nothing of mixtures. At 0 or below, or where no benchmark by itself is above, a mean would
predict as well, and nothing is recommended. Little above 0 may be luck.

A linear law is always best at a corner. So only mixtures are ranked whose every proportion lies
within what the runs have tried: the model interpolates and says nothing beyond. For 20 to 50 short
runs that are paid for already, or worth paying for; without them take shares by temperature. Costs
seconds, and more where there are millions of mixtures.

DaMo: arXiv:2510.19336, with its code. No MLP is offered: it was worse than ridge on the one file
there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scorers.arrays import Floats, Ints, Strings, require_same_length

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

PENALTIES = tuple(10.0**power for power in range(-5, 4))
"""Strengths that are tried, on standardised columns and for each row that is fitted."""

FOLDS = 10
MOST_MIXTURES = 20_000_000
BLOCK = 100_000
"""Mixtures predicted at a time."""


@dataclass(frozen=True, slots=True)
class MixtureRuns:
    """What short trainings on different mixtures came to."""

    mixtures: Strings
    """(n,) which mixture each row is of; a mixture has a row for each checkpoint."""
    proportions: Floats
    """(n, m) of the sources."""
    checkpoints: Ints
    """(n,) from 0."""
    scores: Floats
    """(n, k) of the benchmarks."""
    sources: tuple[str, ...]
    benchmarks: tuple[str, ...]

    @property
    def exposure(self) -> Floats:
        """(n, m) how much of each source had been seen, of a whole training."""
        whole = int(self.checkpoints.max()) + 1
        return self.proportions * ((self.checkpoints + 1) / whole)[:, None]


class Split(NamedTuple):
    """Rows to fit and rows to test."""

    fit: Ints
    test: Ints


@dataclass(frozen=True, slots=True)
class Validation:
    """How well scores were predicted for mixtures that were not fitted."""

    r2: Floats
    """(k,) of each benchmark; NaN where it never changes."""
    r2_mean: float
    """Of the mean over benchmarks, which mixtures are ranked by."""
    noise: float
    """Root mean square error of that mean."""

    @property
    def useful(self) -> bool:
        """Whether it says more than a mean would, of their mean and of some benchmark."""
        return self.r2_mean > 0 and bool((self.r2 > 0).any())


@dataclass(frozen=True, slots=True)
class RankedMixtures:
    """The best mixtures, best first."""

    proportions: Floats
    """(r, m)"""
    scores: Floats
    """(r, k) predicted at the end of a training."""
    searched: int
    """Mixtures within what was tried."""


def fit_law(exposure: Floats, scores: Floats, groups: Ints, curved: bool = False) -> "Pipeline":
    """Fit scores to exposure, with a penalty that predicts left-out groups.

    Of the penalties whose error is within a standard error of the least it is the strongest: what
    luck alone would do is not taken for a law.

    Args:
        exposure: (n, m).
        scores: (n, k).
        groups: (n,) rows of one group are never on both sides of a split.
        curved: add products of two sources.

    Returns:
        What predicts (n, k) scores for how much of each source has been seen (n, m).
    """
    splits = split_groups(groups)
    if not splits:
        return solve_ridge(exposure, scores, PENALTIES[-1], curved)
    errors = np.array([missed(exposure, scores, split, curved) for split in splits])
    means = errors.mean(axis=0)
    best = int(means.argmin())
    limit = means[best] + errors[:, best].std() / np.sqrt(len(splits) - 1)
    return solve_ridge(exposure, scores, max(np.array(PENALTIES)[means <= limit]), curved)


def missed(exposure: Floats, scores: Floats, split: Split, curved: bool) -> Floats:
    """(penalties,) mean square errors on the rows to test, of laws fitted on the others."""
    penalties, benchmarks = len(PENALTIES), scores.shape[1]
    repeated = np.tile(scores, penalties)
    each = np.repeat(PENALTIES, benchmarks)
    law = solve_ridge(exposure[split.fit], repeated[split.fit], each, curved)
    wrong = (law.predict(exposure[split.test]) - repeated[split.test]) ** 2
    errors: Floats = wrong.reshape(-1, penalties, benchmarks).mean(axis=(0, 2))
    return errors


def solve_ridge(
    exposure: Floats, scores: Floats, penalty: float | Floats, curved: bool
) -> "Pipeline":
    """Ridge regression on standardised columns; the intercept is not penalised.

    Args:
        exposure: (n, m).
        scores: (n, k).
        penalty: for each row that is fitted; or (k,), one for each column of scores.
        curved: add products of two sources.
    """
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    columns = PolynomialFeatures(2 if curved else 1, interaction_only=True, include_bias=False)
    ridge = Ridge(penalty * len(scores), solver="svd")
    return make_pipeline(columns, StandardScaler(), ridge).fit(exposure, scores)


def split_groups(groups: Ints) -> list[Split]:
    """At most FOLDS ways to part rows; no group is on both sides, and each is tested once.

    Args:
        groups: (n,) codes; they are dealt out in their order.

    Returns:
        None where there is one group.
    """
    from sklearn.model_selection import LeaveOneGroupOut

    folds = np.unique(groups, return_inverse=True)[1] % FOLDS
    if not folds.any():
        return []
    return [Split(*each) for each in LeaveOneGroupOut().split(folds, groups=folds)]


def validate_runs(runs: MixtureRuns, curved: bool = False) -> Validation:
    """Predict every mixture from the others.

    Args:
        runs: of at least 3 mixtures.
        curved: add products of two sources.

    Raises:
        ValueError: if there are fewer.
    """
    groups = group_of(runs)
    if len(np.unique(groups)) < 3:
        raise ValueError(
            f"{len(np.unique(groups))} mixtures tell nothing of others: 3 are the least, and 20 "
            "to 50 are what the method was made for"
        )
    predicted = np.full_like(runs.scores, np.nan)
    for split in split_groups(groups):
        fit = split.fit
        law = fit_law(runs.exposure[fit], runs.scores[fit], groups[fit], curved)
        predicted[split.test] = law.predict(runs.exposure[split.test])
    of_means = r_squared(
        runs.scores.mean(axis=1, keepdims=True),
        predicted.mean(axis=1, keepdims=True),
        runs.checkpoints,
    )
    wrong = predicted.mean(axis=1) - runs.scores.mean(axis=1)
    return Validation(
        r2=r_squared(runs.scores, predicted, runs.checkpoints),
        r2_mean=float(of_means[0]),
        noise=float(np.sqrt((wrong**2).mean())),
    )


def group_of(runs: MixtureRuns) -> Ints:
    """(n,) codes of the mixtures, by proportions: one under two names is one.

    Raises:
        ValueError: if lengths differ.
    """
    require_same_length(mixtures=runs.mixtures, checkpoints=runs.checkpoints)
    rounded = np.round(runs.proportions, 9)
    codes: Ints = np.unique(rounded, axis=0, return_inverse=True)[1].reshape(-1)
    return codes


def r_squared(scores: Floats, predicted: Floats, checkpoints: Ints) -> Floats:
    """(k,) share of the variance within checkpoints that is predicted; NaN where there is none."""
    indices = np.unique(checkpoints, return_inverse=True)[1]
    counts = np.bincount(indices)[:, None]
    sums = np.zeros((len(counts), scores.shape[1]))
    np.add.at(sums, indices, scores)
    around = ((scores - (sums / counts)[indices]) ** 2).sum(axis=0)
    missed = ((scores - predicted) ** 2).sum(axis=0)
    varies = around > 1e-12 * (1 + (scores**2).sum(axis=0))
    return np.where(varies, 1 - missed / np.where(varies, around, 1.0), np.nan)


def count_mixtures(sources: int, batch: int) -> int:
    """How many mixtures there are: C(m + b - 1, m - 1)."""
    return comb(sources + batch - 1, sources - 1)


def enumerate_mixtures(sources: int, batch: int) -> Iterator[Floats]:
    """All proportions n / batch with whole n that add up to batch, in blocks (r, sources).

    Args:
        sources: m, at least 1.
        batch: b, at least 1.

    Raises:
        ValueError: if there are more than can be looked at.
    """
    count = count_mixtures(sources, batch)
    if count > MOST_MIXTURES:
        raise ValueError(
            f"{sources} sources in steps of 1/{batch} are {count:,} mixtures, more than "
            f"{MOST_MIXTURES:,}: take a smaller batch"
        )
    # Between m sources stand m - 1 bars in a row of b + m - 1 places; what is between them is n.
    indices = batch + sources - 1
    bars = combinations(range(indices), sources - 1)
    while block := list(islice(bars, BLOCK)):
        cut = np.array(block, dtype=np.int64).reshape(len(block), sources - 1)
        ends = np.column_stack([np.full(len(cut), -1), cut, np.full(len(cut), indices)])
        yield (np.diff(ends, axis=1) - 1) / batch


def rank_mixtures(law: "Pipeline", tried: Floats, batch: int, top: int) -> RankedMixtures:
    """Find the mixtures with the highest predicted mean score at the end of a training.

    Args:
        law: fitted.
        tried: (n, m) proportions of the runs; a source's proportion stays within them.
        batch: proportions are multiples of 1 / batch.
        top: how many.

    Returns:
        Best first; ties to the mixture with more of the first source.
    """
    least, most = tried.min(axis=0) - 1e-9, tried.max(axis=0) + 1e-9
    best = np.empty((0, tried.shape[1]))
    searched = 0
    for block in enumerate_mixtures(tried.shape[1], batch):
        within = block[((block >= least) & (block <= most)).all(axis=1)]
        searched += len(within)
        pool = np.concatenate([best, within])
        value = np.round(law.predict(pool).mean(axis=1), 9) if len(pool) else np.empty(0)
        best = pool[np.lexsort((*(-pool.T[::-1]), -value))[:top]]
    return RankedMixtures(best, law.predict(best), searched)


def fit_runs(runs: MixtureRuns, curved: bool = False) -> "Pipeline":
    """Fit the law on all runs."""
    return fit_law(runs.exposure, runs.scores, group_of(runs), curved)


def replicate_noise(runs: MixtureRuns) -> float | None:
    """Standard deviation of the mean score between runs of the same mixture and checkpoint.

    Returns:
        None where nothing was run twice.
    """
    keys = np.column_stack([group_of(runs), runs.checkpoints])
    codes = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    means = runs.scores.mean(axis=1)
    counts = np.bincount(codes)
    around = means - (np.bincount(codes, weights=means) / counts)[codes]
    freedom = int((counts - 1).sum())
    return float(np.sqrt((around**2).sum() / freedom)) if freedom else None
