import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from scorers.s2l_cluster import score_s2l_cluster

SHAPES = np.array([[3.0, 2.0, 1.0, 0.5], [3.0, 3.0, 3.0, 3.0], [0.5, 0.4, 0.4, 0.3]])


def pool(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """60 trajectories of three shapes with a little noise, and the shape of each."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat([0, 1, 2], [40, 15, 5])
    return SHAPES[kinds] + rng.uniform(0, 0.05, (60, 4)), kinds


def test_finds_the_shapes_and_numbers_them_by_their_loss() -> None:
    trajectory, kinds = pool()
    # Mean losses: the third shape 0.4, the first 1.6, the second 3.
    np.testing.assert_array_equal(
        score_s2l_cluster(trajectory, clusters=3), np.array([1, 2, 0])[kinds]
    )


losses = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.floats(0, 9, width=16),
)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 15), st.booleans())
def test_the_order_of_rows_and_of_steps_makes_no_difference(
    seed: int, clusters: int, standardise: bool
) -> None:
    # Without clear clusters k-means depends on where it starts, and so on the order of the rows.
    rng = np.random.default_rng(seed)
    n, t = rng.integers(1, 60), rng.integers(1, 8)
    trajectory = rng.uniform(0, 3, (n, t))[rng.integers(0, n, n)]
    rows, steps = rng.permutation(n), rng.permutation(t)
    labels = score_s2l_cluster(trajectory, clusters=clusters, standardise=standardise)
    shuffled = score_s2l_cluster(
        trajectory[rows][:, steps], clusters=clusters, standardise=standardise
    )
    np.testing.assert_array_equal(shuffled, labels[rows])


@settings(max_examples=40)
@given(losses, st.integers(1, 5))
def test_equal_rows_share_a_cluster_and_labels_have_no_gap(
    trajectory: np.ndarray, clusters: int
) -> None:
    twice = score_s2l_cluster(np.concatenate((trajectory, trajectory)), clusters=clusters)
    np.testing.assert_array_equal(twice[: len(trajectory)], twice[len(trajectory) :])
    assert set(twice) == set(range(len(set(twice))))
    assert len(set(twice)) <= min(clusters, len(np.unique(trajectory, axis=0)))


def test_the_sign_of_zero_makes_no_difference() -> None:
    trajectory = np.random.default_rng(0).uniform(0, 3, (50, 4))
    trajectory[::3, ::2] = 0
    negative = np.where(trajectory == 0, -0.0, trajectory)
    np.testing.assert_array_equal(
        score_s2l_cluster(negative, clusters=9), score_s2l_cluster(trajectory, clusters=9)
    )


def test_the_seed_decides_where_there_is_no_clear_answer() -> None:
    trajectory = np.random.default_rng(0).uniform(0, 3, (300, 6))
    labels = [score_s2l_cluster(trajectory, clusters=20, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[0], labels[2])


def test_fewer_distinct_rows_than_clusters() -> None:
    labels = score_s2l_cluster(np.array([[2.0], [1.0], [2.0], [5.0]]), clusters=100)
    np.testing.assert_array_equal(labels, [1, 0, 1, 2])


def test_a_row_with_a_missing_loss_has_no_label_and_moves_no_other() -> None:
    trajectory, _ = pool()
    holed = np.concatenate((trajectory, [[1.0, np.nan, 1.0, 1.0]]))
    labels = score_s2l_cluster(holed, clusters=3)
    assert np.isnan(labels[-1])
    np.testing.assert_array_equal(labels[:-1], score_s2l_cluster(trajectory, clusters=3))
    assert np.isnan(score_s2l_cluster(np.empty((2, 0)))).all()


def test_standardised_steps_weigh_the_same_whatever_their_scale() -> None:
    # Raw losses see the step with the larger scale only: low or high there makes the cluster.
    four_kinds = np.tile([[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]], (5, 1))
    trajectory = four_kinds + np.random.default_rng(0).uniform(0, 0.1, four_kinds.shape)
    scaled = trajectory * [1, 64]
    constant = np.concatenate((scaled, np.ones((20, 1))), axis=1)
    four = score_s2l_cluster(trajectory, clusters=4, standardise=True)
    assert len({tuple(four[kind::4]) for kind in range(4)}) == 4
    np.testing.assert_array_equal(score_s2l_cluster(scaled, clusters=4, standardise=True), four)
    np.testing.assert_array_equal(score_s2l_cluster(constant, clusters=4, standardise=True), four)
    assert not np.array_equal(score_s2l_cluster(scaled, clusters=4), four)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="clusters must be 1 or more, got 0"):
        score_s2l_cluster(np.ones((2, 2)), clusters=0)
    with pytest.raises(ValueError, match="trajectory is in nats"):
        score_s2l_cluster(np.array([[-1.0]]))
