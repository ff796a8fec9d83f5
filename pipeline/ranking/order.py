"""Orders of rows that depend on nothing but the rows: ties break by example_id, ascending."""

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats, Ints, Strings, require_same_length


def sort_rows(keys: NDArray[np.generic], ids: Strings) -> Ints:
    """Order rows by key, then by id; both ascending.

    Args:
        keys: (n,) numbers, none of them NaN.
        ids: (n,) distinct example ids.

    Returns:
        (n,) rows.
    """
    require_same_length(keys=keys, ids=ids)
    order = np.argsort(keys, kind="stable")
    if (ids[1:] > ids[:-1]).all():  # a pool's rows mostly are in this order: ties are right already
        return order
    ranked = keys[order]
    ties = np.flatnonzero(ranked[1:] == ranked[:-1])
    if ties.size:  # only tied rows look at their ids: sorting millions of strings is slow
        indices = np.union1d(ties, ties + 1)
        tied = order[indices]
        names = np.asarray(ids[tied], dtype=np.str_)
        order[indices] = tied[np.lexsort((names, keys[tied]))]
    return order


def rank_by_score(scores: Floats, ids: Strings) -> Ints:
    """Order the rows that have a score, highest first.

    Args:
        scores: (n,) NaN where there is none.
        ids: (n,) distinct example ids.

    Returns:
        (m,) rows with a score, m of n.

    Raises:
        ValueError: if the lengths differ, or a score is infinite.
    """
    require_same_length(scores=scores, ids=ids)
    infinite = np.isinf(scores)
    if infinite.any():
        raise ValueError(f"{infinite.sum()} scores are infinite: a scorer must give NaN instead")
    scored = np.flatnonzero(~np.isnan(scores))
    return scored[sort_rows(-scores[scored], ids[scored])]


def mean_ranks(values: NDArray[np.generic]) -> Floats:
    """Rank values, 1 for the lowest; equal ones have the mean of their ranks.

    Args:
        values: (n,) numbers, none of them NaN.

    Returns:
        (n,) what scipy.stats.rankdata gives.
    """
    _, groups, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(sizes) - (sizes - 1) / 2)[groups]
    return ranks


def group_codes(names: Strings) -> Ints:
    """Number the groups of rows by their names; (n,) codes, ascending as the names are."""
    codes: Ints = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)[1]
    return codes


def turn_in_group(order: Ints, groups: Ints) -> Ints:
    """Say how many rows of its group come before each row of an order.

    Args:
        order: (m,) rows.
        groups: (n,) the group of every row.

    Returns:
        (m,) 0 for the first of its group, in the order of `order`.
    """
    ordered = groups[order]
    by_group = np.argsort(ordered, kind="stable")
    _, starts, sizes = np.unique(ordered[by_group], return_index=True, return_counts=True)
    turns = np.empty(len(order), dtype=np.int64)
    turns[by_group] = np.arange(len(order)) - np.repeat(starts, sizes)  # place less group's start
    return turns
