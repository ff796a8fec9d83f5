"""S2L's draw: share a budget equally over clusters of like rows, small clusters first.

    r_i = floor((B - sum over j < i of t_j) / (M - i + 1)),  t_i = min(c_i, r_i)

c_1 <= ... <= c_M are the sizes of the M clusters, B the budget, t_i what cluster i gets: small
clusters are taken whole and what they leave over goes to the larger ones. Yang et al. 2024,
arXiv:2403.07384, with `score_s2l_cluster`. The paper shares over clusters; its code first shares
over sources in the same way, and puts clusters of one or two rows into a reserve that is drawn
uniformly when the source's other clusters are used up. Both are here; without sources there is one.

One thing is not as released: there k-means is run on each source apart, with up to 100 clusters of
its own; here the clusters are those of the whole pool, and what is shared over are their parts in a
source. A small source has few rows of many clusters, so more of it lies in the reserve, where the
draw is uniform and no longer by clusters. How many rows that is stands in the notes of the step.
With fewer `clusters` of the score, or `per_source: false`, it is less.

For a domain with known sources; not for a mixed pool of general instructions, where another paper
(arXiv:2502.04194) finds it below random for two of three models. The draw costs nothing; the
trajectories do.
"""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.budget import Budget, within_budget
from pipeline.ranking.order import group_codes, sort_rows, turn_in_group
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.random import random_keys
from pipeline.selection.step import RankStep
from scorers.arrays import Floats, Ints, Strings, require_same_length

RESERVE_SIZE = 2
"""A cluster of at most this many rows is noise rather than a kind of row."""


def _place_by_size(groups: Ints) -> Ints:
    """The place of each row's group when groups are sorted by size, then code; (n,), 0 is least."""
    sizes = np.bincount(groups, minlength=1)
    indices = np.empty(len(sizes), dtype=np.int64)  # the inverse of the order: code → place
    indices[np.lexsort((np.arange(len(sizes)), sizes))] = np.arange(len(sizes))
    return indices[groups]


def source_cells(clusters: Ints, sources: Ints) -> Ints:
    """(n,) codes of what a cluster has in a source: different ones in different sources."""
    return np.unique(np.stack((sources, clusters)), axis=1, return_inverse=True)[1]


def in_reserve(cells: Ints) -> NDArray[np.bool_]:
    """(n,) whether a row's cell is so small that it is drawn last."""
    return np.asarray(np.bincount(cells, minlength=1)[cells] <= RESERVE_SIZE)


def reserve_notes(cells: Ints, picked: NDArray[np.bool_]) -> tuple[str, ...]:
    """How many rows were drawn last, if any, and how many of the picks they are."""
    last = in_reserve(cells)
    if not last.any():
        return ()
    return (
        f"{len(np.unique(cells[last]))} of {len(np.unique(cells))} clusters have at most "
        f"{RESERVE_SIZE} rows in their source: these {last.sum()} rows are drawn last and "
        f"uniformly, and are {(last & picked).sum()} of the {picked.sum()} picks",
    )


def equal_share_order(clusters: Ints, sources: Ints, keys: Ints) -> Ints:
    """Order rows so that its first B rows are the equal shares of a budget of B, for every B.

    A share is equal but for groups that are smaller, which are taken whole. A budget that is larger
    by one so gives one more row to one group: the largest, then the next smaller one that has rows
    left, and so on in rounds: groups take turns, largest first.

    Args:
        clusters: (n,) codes.
        sources: (n,) codes.
        keys: (n,) a permutation; within a cluster the lower ones are drawn first.

    Returns:
        (n,) rows.
    """
    cells = source_cells(clusters, sources)
    by_key = np.argsort(keys)
    turns = np.empty(len(keys), dtype=np.int64)
    turns[by_key] = turn_in_group(by_key, cells)  # (n,) 0: the first of its cell
    indices = _place_by_size(cells)
    reserve = in_reserve(cells)
    turns[reserve] = indices[reserve] = 0  # among themselves, in the order of the keys
    # lexsort goes by its last key first: no reserve, then turns, then large cells, then the keys.
    within_source = np.lexsort((keys, -indices, turns, reserve))
    rounds = turn_in_group(within_source, sources)
    order: Ints = within_source[np.lexsort((-_place_by_size(sources)[within_source], rounds))]
    return order


def select_s2l(
    labels: Floats,
    ids: Strings,
    budget: Budget,
    loss_tokens: Ints | None = None,
    sources: Strings | None = None,
    seed: int = 0,
) -> Outcome:
    """Draw rows equally from every source, and within it from every cluster.

    With one seed, a larger budget adds rows and drops none; so a budget in loss tokens is met by
    the equal shares of as many rows as it pays for.

    Args:
        labels: (n,) cluster of every row, NaN where there is none; such rows are out: "no_score".
        ids: (n,) distinct example ids; the draw is a hash of seed and id.
        budget: The limit; rows beyond it are "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        sources: (n,) names; None to pool them.
        seed: 0 or more.

    Returns:
        The picks in the order drawn; values are the labels. The notes have what was drawn last.

    Raises:
        ValueError: if lengths differ, or the budget needs tokens that are not given.
    """
    n = len(ids)
    source_codes = np.zeros(n, dtype=np.int64) if sources is None else group_codes(sources)
    require_same_length(labels=labels, ids=ids, sources=source_codes)
    rows = np.flatnonzero(~np.isnan(labels))
    keys = np.empty(len(rows), dtype=np.int64)  # the place of each row in the draw, without ties
    keys[sort_rows(random_keys(ids[rows], seed, "s2l"), ids[rows])] = np.arange(len(rows))
    clusters: Ints = np.unique(labels[rows], return_inverse=True)[1]
    order = rows[equal_share_order(clusters, source_codes[rows], keys)]
    picks = within_budget(order, budget, n, loss_tokens)
    reasons = np.full(n, "over_budget", dtype=object)
    reasons[np.isnan(labels)] = "no_score"
    reasons[picks] = ""
    notes = reserve_notes(source_cells(clusters, source_codes[rows]), np.isin(rows, picks))
    return replace(account_for(picks, reasons, labels), notes=notes)


class S2L(RankStep):
    """S2L: equal shares of every cluster of loss trajectories (arXiv 2403.07384)."""

    ranks_labels: ClassVar[bool] = True

    method: Literal["s2l"]
    score: str = Field(default="s2l_cluster", description="The score that holds the cluster.")
    per_source: bool = Field(
        default=True, description="Equal shares of every source first, as in the released code."
    )

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Draw from the clusters."""
        sources = rows.sources if self.per_source else None
        budget = self.budget.budget()
        labels = rows.score(self.score)
        return select_s2l(labels, rows.ids, budget, rows.loss_tokens, sources, seed)
