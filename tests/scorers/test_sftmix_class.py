import numpy as np
import pytest

from scorers.sftmix_class import score_sftmix_class


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_the_halves_hold_every_scored_row_and_differ_by_at_most_one(n: int) -> None:
    rng = np.random.default_rng(n)
    trajectory = rng.integers(0, 3, (n, 2)).astype(float)  # many ties
    labels = score_sftmix_class(trajectory, np.arange(n).astype(str))
    assert set(labels) <= {0.0, 1.0}
    assert (labels == 1).sum() - (labels == 0).sum() == n % 2


def test_the_confident_half_has_the_lower_perplexities() -> None:
    trajectory = np.array([[3.0], [1.0], [np.nan], [2.0], [0.5]])
    labels = score_sftmix_class(trajectory, np.array(list("abcde")))
    np.testing.assert_array_equal(labels, [0, 1, np.nan, 0, 1])


def test_equal_rows_go_by_their_ids() -> None:
    trajectory = np.ones((4, 2))
    labels = score_sftmix_class(trajectory, np.array(["d", "a", "c", "b"]))
    np.testing.assert_array_equal(labels, [0, 1, 0, 1])


def test_the_means_differ_in_what_rules_them() -> None:
    # Perplexities: one burst of exp(9) against exp(5) throughout. Logarithms: 3 against 5.
    trajectory = np.array([[9.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
    ids = np.array(["a", "b"])
    np.testing.assert_array_equal(score_sftmix_class(trajectory, ids), [0, 1])
    np.testing.assert_array_equal(score_sftmix_class(trajectory, ids, log_mean=True), [1, 0])


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        score_sftmix_class(np.ones((2, 2)), np.array(["a"]))
