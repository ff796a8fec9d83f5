"""SmallToLarge (S2L): which examples a small model learns in the same way.

    cluster_i = argmin over c of || trajectory_i - centre_c ||^2

trajectory_i is the mean loss per response token of row i at each recorded step of a small model's
training on the pool, centre_c the mean trajectory of cluster c, found by k-means. Rows with near
equal trajectories give near equal gradients, so a set that draws equally from every cluster stands
for the pool with fewer rows.

The value is a label, not a rank: 0, 1, ... in the order of the clusters' mean loss. "Higher is kept
first" does not hold for it; `select_s2l` shares a budget out over the labels.

For a domain with known sources, such as maths or medicine; not for a mixed pool of general
instructions, where GRAPE's paper (arXiv:2502.04194) finds it below random for two of three models.
Cost: training the small model, and a pass of it over the pool at each recorded step.

Yang et al. 2024, "SmallToLarge (S2L)", arXiv:2403.07384. As there: K = 100, 20 iterations, plain
Euclidean distance on raw losses. Their code clusters each source apart and turns a missing
loss into 0, which makes a false cluster of truncated rows; here the pool is clustered once and a
row with a missing loss has no label.
"""

import hashlib

import numpy as np

from scorers.arrays import Floats, Ints, require_losses

ITERATIONS = 20


def _columns_by_content(trajectories: Floats) -> Ints:
    """Order the columns by what they hold, so that the order they came in has no say; (t,).

    Two columns tie only where they hold the same losses, each in rows of the same total.
    """
    totals = np.sort(trajectories, axis=1).sum(axis=1)

    def digest(column: Floats) -> bytes:
        order = np.lexsort((totals, column))
        return hashlib.sha256(column[order].tobytes() + totals[order].tobytes()).digest()

    return np.array(sorted(range(trajectories.shape[1]), key=lambda t: digest(trajectories[:, t])))


def _k_means(distinct: Floats, weights: Ints, clusters: int, seed: int) -> Ints:
    """Cluster distinct rows (m, t) of given weights (m,); labels (m,) by ascending mean loss."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = KMeans(
        min(clusters, len(distinct)), n_init=1, max_iter=ITERATIONS, tol=0, random_state=seed
    )
    with threadpool_limits(limits=1):  # several threads add up their sums in any order
        labels = model.fit(distinct, sample_weight=weights).labels_
    _, labels = np.unique(labels, return_inverse=True)  # a cluster may be empty: close the gaps
    losses = np.bincount(labels, weights * distinct.mean(axis=1)) / np.bincount(labels, weights)
    return np.argsort(np.argsort(losses, kind="stable"))[labels]  # twice: the rank of each label


def score_s2l_cluster(
    trajectory: Floats, *, clusters: int = 100, seed: int = 0, standardise: bool = False
) -> Floats:
    """Label each example with its cluster.

    The labels depend on all rows given, but not on their order nor on that of the columns.
    Equal rows share a cluster.

    Args:
        trajectory: (n, t) nats per token at each recorded step.
        clusters: How many clusters; fewer where there are fewer distinct rows.
        seed: Of the k-means initialisation.
        standardise: Whether to give every step the same variance first; otherwise the early steps,
            whose losses are larger, weigh more. The published method does not.

    Returns:
        (n,) labels 0, 1, ... as floats. NaN where a loss is missing.

    Raises:
        ValueError: if `clusters` is below 1, or a loss is negative or above 700.
    """
    require_losses(trajectory=trajectory)
    if clusters < 1:
        raise ValueError(f"clusters must be 1 or more, got {clusters}")
    labels = np.full(len(trajectory), np.nan)
    complete = ~np.isnan(trajectory).any(axis=1)
    if trajectory.shape[1] == 0 or not complete.any():
        return labels
    rows = trajectory[complete] + 0.0  # -0 and 0 are one loss, but not the same bytes
    rows = rows[:, _columns_by_content(rows)]
    distinct, inverse, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    if standardise:
        mean = np.average(distinct, axis=0, weights=counts)
        deviation = np.sqrt(np.average((distinct - mean) ** 2, axis=0, weights=counts))
        distinct = (distinct - mean) / np.where(deviation > 0, deviation, 1)
    labels[complete] = _k_means(distinct, counts, clusters, seed)[inverse]
    return labels
