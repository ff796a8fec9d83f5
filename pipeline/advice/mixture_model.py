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

DaMo: arXiv:2510.19336, with its code. No MLP is offered: ridge was better on the one file there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING

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
        whole = int(self.checkpoints.max()) + 1  # checkpoints: they count from 0
        return self.proportions * ((self.checkpoints + 1) / whole)[:, None]


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
    if not splits:  # nothing to choose by: the strongest claims least
        return solve_ridge(exposure, scores, PENALTIES[-1], curved)
    # Every penalty is fitted at once: columns are the scores once for each, penalty by penalty.
    repeated, each = np.tile(scores, len(PENALTIES)), np.repeat(PENALTIES, scores.shape[1])
    errors = np.empty((len(splits), len(PENALTIES)))  # mean square errors on the rows to test
    for at, (fit, test) in enumerate(splits):
        wrong = solve_ridge(exposure[fit], repeated[fit], each, curved).predict(exposure[test])
        wrong = ((wrong - repeated[test]) ** 2).reshape(len(test), len(PENALTIES), -1)
        errors[at] = wrong.mean(axis=(0, 2))
    means = errors.mean(axis=0)
    best = int(means.argmin())
    # The standard error of f folds is s / sqrt(f), with s^2 over f - 1: std / sqrt(f - 1).
    limit = means[best] + errors[:, best].std() / np.sqrt(len(splits) - 1)
    return solve_ridge(exposure, scores, max(np.array(PENALTIES)[means <= limit]), curved)


def solve_ridge(
    exposure: Floats, scores: Floats, penalty: float | Floats, curved: bool
) -> "Pipeline":
    """Ridge regression of (n, k) scores on standardised columns; the intercept is not penalised.

    The penalty is for each row that is fitted, and the same or (k,) for the columns of scores.
    """
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    columns = PolynomialFeatures(2 if curved else 1, interaction_only=True, include_bias=False)
    # Ridge adds its penalty to a sum over rows; svd solves each column with a penalty of its own.
    ridge = Ridge(penalty * len(scores), solver="svd")
    return make_pipeline(columns, StandardScaler(), ridge).fit(exposure, scores)


def split_groups(groups: Ints) -> list[tuple[Ints, Ints]]:
    """At most FOLDS ways to part rows into (fit, test); no group is on both sides.

    Args:
        groups: (n,) codes, dealt out in their order; each is tested once, but one alone never.
    """
    from sklearn.model_selection import LeaveOneGroupOut

    folds = np.unique(groups, return_inverse=True)[1] % FOLDS  # numbered without gaps, then dealt
    return [*LeaveOneGroupOut().split(folds, groups=folds)] if folds.any() else []


def validate_runs(runs: MixtureRuns, curved: bool = False) -> Validation:
    """Predict every mixture from the others, with products of two sources if `curved`.

    Raises:
        ValueError: if there are fewer than 3 mixtures.
    """
    groups = group_of(runs)
    if (mixtures := len(np.unique(groups))) < 3:
        raise ValueError(
            f"{mixtures} mixtures tell nothing of others: 3 are the least, and 20 to 50 are what "
            "the method was made for"
        )
    predicted = np.empty_like(runs.scores)  # each row is tested once, so all are filled
    for fit, test in split_groups(groups):
        law = fit_law(runs.exposure[fit], runs.scores[fit], groups[fit], curved)
        predicted[test] = law.predict(runs.exposure[test])
    means, guessed = (each.mean(axis=1, keepdims=True) for each in (runs.scores, predicted))
    return Validation(
        r2=r_squared(runs.scores, predicted, runs.checkpoints),
        r2_mean=float(r_squared(means, guessed, runs.checkpoints)[0]),
        noise=float(np.sqrt(((guessed - means) ** 2).mean())),
    )


def group_of(runs: MixtureRuns) -> Ints:
    """(n,) codes of the mixtures, by proportions: one under two names is one.

    Raises:
        ValueError: if lengths differ.
    """
    require_same_length(mixtures=runs.mixtures, checkpoints=runs.checkpoints)
    rounded = np.round(runs.proportions, 9)  # 0.1 + 0.2 and 0.3 are one proportion
    codes: Ints = np.unique(rounded, axis=0, return_inverse=True)[1].reshape(
        -1
    )  # NumPy 2.0: (n, 1)
    return codes


def r_squared(scores: Floats, predicted: Floats, checkpoints: Ints) -> Floats:
    """(k,) share of the variance within checkpoints that is predicted; NaN where there is none."""
    codes = np.unique(checkpoints, return_inverse=True)[1]
    around = (less_means(scores, codes) ** 2).sum(axis=0)
    missed = ((scores - predicted) ** 2).sum(axis=0)
    varies = around > 1e-12 * (1 + (scores**2).sum(axis=0))  # equal scores leave rounding behind
    return np.where(varies, 1 - missed / np.where(varies, around, 1.0), np.nan)


def less_means(values: Floats, codes: Ints) -> Floats:
    """(n, k) values, each less the mean of the rows with its code; codes (n,) have no gaps."""
    counts = np.bincount(codes)[:, None]
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, codes, values)
    return values - (sums / counts)[codes]


def count_mixtures(sources: int, batch: int) -> int:
    """C(m + b - 1, m - 1): how many mixtures there are."""
    return comb(sources + batch - 1, sources - 1)


def enumerate_mixtures(sources: int, batch: int) -> Iterator[Floats]:
    """All proportions n / batch with whole n that add up to batch, in blocks (r, sources).

    Raises:
        ValueError: if there are more than can be looked at.
    """
    if (count := count_mixtures(sources, batch)) > MOST_MIXTURES:
        raise ValueError(
            f"{sources} sources in steps of 1/{batch} are {count:,} mixtures, more than "
            f"{MOST_MIXTURES:,}: take a smaller batch"
        )
    # Between m sources stand m - 1 bars in a row of b + m - 1 places; what is between them is n.
    places = batch + sources - 1
    bars = combinations(range(places), sources - 1)
    while block := list(islice(bars, BLOCK)):
        cut = np.array(block, dtype=np.int64).reshape(len(block), sources - 1)  # one source: (r, 0)
        ends = np.pad(cut, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, places)))  # outer bars
        yield (np.diff(ends, axis=1) - 1) / batch  # -1: the bar itself is no unit of a source


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
    least, most = tried.min(axis=0) - 1e-9, tried.max(axis=0) + 1e-9  # a bound counts as tried
    best = np.empty((0, tried.shape[1]))
    searched = 0
    for block in enumerate_mixtures(tried.shape[1], batch):
        within = block[((block >= least) & (block <= most)).all(axis=1)]
        searched += len(within)
        pool = np.concatenate([best, within])  # the best so far, so only a block is in memory
        value = np.round(law.predict(pool).mean(axis=1), 9) if len(pool) else np.empty(0)
        # lexsort goes by its last key first: by value, then by the first source, the second, ...
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
    around = less_means(runs.scores.mean(axis=1, keepdims=True), codes)
    freedom = len(codes) - (int(codes.max()) + 1)  # rows, less a mean taken for each pair
    return float(np.sqrt((around**2).sum() / freedom)) if freedom else None
