"""GOT-D: which rows bring the pool closest to a few hundred target examples when they gain weight.

    score_i = -g_i,   g_i = f_i - mean of f_j over all j other than i

f is the dual potential, on the side of the pool, of the entropic optimal transport between the n
rows of the pool and the m targets. Rows have the mass 1/n, targets 1/m, and moving mass from x to r
costs C = ||x - r||^2 between embeddings of unit length:

    f_i = -eps * log sum_j exp((h_j - C_ij) / eps) / m
    h_j = -eps * log sum_i exp((f_i - C_ij) / eps) / n

The two are taken in turns until the masses that arrive at the targets are right to 0.001 of the
whole. g_i is the rate at which the transport becomes dearer when mass moves to row i from all
others alike; g sums to 0. Higher is kept first: adding such a row lowers the cost fastest. With
`contrast` the targets are to be kept away from, and the order is the exact reverse.

It does not choose the rows that look most like the targets, but those that the pool lacks: of a
pool of 190 cats and 10 dogs and targets half of each it takes the dogs.

For 50 to 500 target examples, where a training of the model for LESS is too dear: an embedding of
each row is all it needs. Not for targets unlike anything in the pool, such as code for a pool of
prose: all rows are far then, and their order says little. Not for a budget that is a large part of
the pool, since g holds for small moves: choose a part, and choose again from the rest. Embeddings
know topics and also lengths: compare the lengths of what was chosen with the length-matched
control. A few odd targets pull rows of their own kind, for each has its share of the mass.

Cost: a product of (n, d) and (d, m) for every turn, ten to some hundred turns; never an (n, m)
matrix in memory. A pool of more than `solve_on` rows is solved on a part of it drawn by content,
and the first equation gives the f of every row from the h of that part.

Kang et al. 2024, "Get more for less: Principled Data Selection for Warming Up Fine-Tuning in LLMs
(GOT-D)", arXiv:2405.02774; the calibrated gradient is from LAVA, arXiv:2305.00054. They state
neither eps nor the exponent of the cost; the released LAVA solves with a debiased divergence and
reads the potentials of the plain one. Here it is plain throughout, eps is a share of the median
cost, and all equal rows have equal scores.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scorers.arrays import Floats, Ints, unit

BLOCK = 1 << 21
"""Costs that are in memory at a time."""

KEPT_COSTS = 1 << 25
"""Costs that are kept from turn to turn, 8 bytes each; more are computed anew."""

MOST_TURNS = 2000

MARGINAL_ERROR = 1e-3
"""Mass that may arrive at the wrong target, of a whole of 1."""

MEDIAN_COSTS = 1 << 22
"""Costs that the median is taken of, at most."""


class NotConvergedError(ValueError):
    """The transport was not solved in the turns allowed."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Transport:
    """A solved transport: potentials of both sides."""

    f: Floats
    """(n,)"""
    h: Floats
    """(m,)"""
    turns: int
    error: float
    """Mass that arrives at the wrong target."""


def solve_transport(rows: Floats, mass: Floats, targets: Floats, eps: float) -> Transport:
    """Solve the entropic transport from rows to targets, in logarithms and in blocks of rows.

    Args:
        rows: (n, d) unit vectors.
        mass: (n,) of the rows, above 0, 1 together.
        targets: (m, d) unit vectors, of equal mass.
        eps: of the entropy, above 0, in units of the cost.

    Raises:
        NotConvergedError: if the masses are not right after MOST_TURNS.
    """
    f, h = np.zeros(len(rows)), np.zeros(len(targets))
    pieces = list(blocks(len(rows), len(targets)))
    few = len(rows) * len(targets) <= KEPT_COSTS  # a product saved at every turn
    kept = [costs(rows[block], targets) for block in pieces] if few else []
    for turn in range(1, MOST_TURNS + 1):
        arriving = np.full(len(targets), -np.inf)  # log of what arrives, over what should
        for at, block in enumerate(pieces):
            exponents = (h - (kept[at] if few else costs(rows[block], targets))) / eps
            f[block] = -eps * mean_exp(exponents, axis=1)
            exponents += (f[block] / eps + np.log(mass[block]))[:, None]
            arriving = np.logaddexp(arriving, sum_exp(exponents, axis=0))
        error = float(np.abs(np.expm1(arriving)).mean())
        if error < MARGINAL_ERROR:
            return Transport(f, h, turn, error)
        h = h - eps * arriving  # the second equation, written as a correction
    raise NotConvergedError(
        f"got_d: the transport is not solved after {MOST_TURNS} turns: {error:.2g} of the mass "
        f"arrives at the wrong target, and {MARGINAL_ERROR:g} may. Raise eps_share"
    )


def potentials_of(rows: Floats, targets: Floats, h: Floats, eps: float) -> Floats:
    """(n,) potentials of any rows, solved for or not, from the (m,) potentials of the targets."""
    f: Floats = -eps * mean_exp((h - costs(rows, targets)) / eps, axis=1)
    return f


def blocks(rows: int, targets: int) -> Iterator[slice]:
    """Rows in pieces whose costs fit into memory."""
    size = max(1, BLOCK // max(1, targets))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def costs(rows: Floats, targets: Floats) -> Floats:
    """(n, m) squared distances of unit vectors."""
    products: Floats = rows @ targets.T
    return np.maximum(2.0 - 2.0 * products, 0.0)  # rounding can take equal ones below 0


def sum_exp(exponents: Floats, axis: int) -> Floats:
    """The logarithm of a sum of powers of e, none of which overflows."""
    highest = exponents.max(axis=axis)
    shifted = exponents - np.expand_dims(highest, axis)  # 0 at the most
    total: Floats = highest + np.log(np.exp(shifted, out=shifted).sum(axis=axis))  # in place
    return total


def mean_exp(exponents: Floats, axis: int) -> Floats:
    """The same of a mean."""
    mean: Floats = sum_exp(exponents, axis) - np.log(exponents.shape[axis])
    return mean


def calibrate(f: Floats) -> Floats:
    """(n,) each potential less the mean of all others; n must be above 1."""
    n = len(f)
    gradient: Floats = (f - math.fsum(f) / n) * (n / (n - 1))  # summed up exactly, in any order
    return gradient


class DistinctRows(NamedTuple):
    """The k distinct rows of some."""

    rows: Ints  # (k,) one of each
    which: Ints  # (known,) the distinct one that each is
    counts: Ints  # (k,) how often each is there


def by_content(vectors: Floats, known: Ints, seed: int) -> DistinctRows:
    """Distinct rows among the known ones, in an order that only seed and content decide."""
    start = str(seed).encode()
    digests = np.array(
        [
            # + 0.0: -0 and 0 are equal, but not their bytes
            hashlib.blake2b(start + (vectors[row] + 0.0).tobytes(), digest_size=16).digest()
            for row in known.tolist()
        ],
        dtype="V16",
    )
    _, first, inverse, counts = np.unique(
        digests, return_index=True, return_inverse=True, return_counts=True
    )
    return DistinctRows(known[first], inverse, counts)


def choose_eps(rows: Floats, targets: Floats, share: float) -> float:
    """A share of the median cost, taken of so many rows as keep the number of costs bounded.

    Of the mean where the median is 0, for most rows are targets; of 1 where all are.
    """
    found = costs(rows[: max(1, MEDIAN_COSTS // len(targets))], targets)
    return share * (float(np.median(found)) or float(found.mean()) or 1.0)


def score_got_d(
    embedding: Floats,
    target_embedding: Floats,
    *,
    eps_share: float = 0.05,
    contrast: bool = False,
    solve_on: int = 50_000,
    seed: int = 0,
) -> Floats:
    """Score each row by how much more weight on it would bring the pool closer to the targets.

    Args:
        embedding: (n, d) of the pool; put to unit length here.
        target_embedding: (m, d) of the targets, m above 0.
        eps_share: Share of the median cost that eps is: lower is closer to the transport without
            entropy, and takes more turns.
        contrast: Whether the targets are to be kept away from.
        solve_on: Distinct rows that the transport is solved on at most; of more, a part is drawn.
        seed: Of that part.

    Returns:
        (n,) the negative gradient in units of the cost, the gradient itself with `contrast`. NaN
        where a vector has no direction, and where there is no second row to take mass from.

    Raises:
        ValueError: if there is no target with a direction, dimensions differ, or a setting is not
            above 0.
        NotConvergedError: if the transport cannot be solved in the turns allowed.
    """
    if eps_share <= 0 or solve_on < 1:
        raise ValueError(f"eps_share and solve_on must be above 0, got {eps_share} and {solve_on}")
    scores = np.full(len(embedding), np.nan)
    targets = unit(target_embedding)
    targets = targets[~np.isnan(targets).any(axis=1)]  # NaN: missing, or of length 0
    if not len(targets):
        raise ValueError("got_d compares with targets, and none of those given has an embedding")
    squares = np.einsum("nd,nd->n", embedding, embedding)
    known = np.flatnonzero(np.isfinite(squares) & (squares > 0))
    if len(known) < 2:
        return scores
    if embedding.shape[1] != targets.shape[1]:
        raise ValueError(
            f"rows have {embedding.shape[1]} dimensions, targets {targets.shape[1]}: embed them "
            "with the same model"
        )
    with threadpool_limits(limits=1):  # several threads add up in any order
        targets = targets[np.lexsort(targets.T)]  # by content: the order given has no say
        first, inverse, counts = by_content(embedding, known, seed)
        part = unit(embedding[first[:solve_on]])  # in the order of hashes: a random part
        eps = choose_eps(part, targets, eps_share)
        mass = counts[:solve_on] / counts[:solve_on].sum()
        solved = solve_transport(part, mass, targets, eps)
        f = np.empty(len(first))
        for block in blocks(len(first), len(targets)):
            f[block] = potentials_of(unit(embedding[first[block]]), targets, solved.h, eps)
    gradient = calibrate(f[inverse]) + 0.0  # f of the distinct, back to all known rows; -0 to 0
    scores[known] = gradient if contrast else -gradient
    return scores
