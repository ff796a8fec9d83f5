import numpy as np
import pytest

from pipeline.selection.methods.clear import select_confident

IDS = np.array(list("edcba"))


def test_keeps_the_upper_half_rounded_up() -> None:
    outcome = select_confident(np.array([0.1, 0.9, 0.4, 0.8, 0.5]), IDS)
    np.testing.assert_array_equal(outcome.indices, [1, 3, 4])
    assert list(outcome.reasons) == ["low_confidence", "", "low_confidence", "", ""]


def test_ties_at_the_median_do_not_drop_all_rows() -> None:
    outcome = select_confident(np.ones(5), IDS)
    assert sorted(IDS[outcome.indices]) == ["a", "b", "c"]


def test_a_row_without_confidence_does_not_count_for_the_half() -> None:
    outcome = select_confident(np.array([np.nan, np.nan, 0.4, 0.8, np.nan]), IDS)
    np.testing.assert_array_equal(outcome.indices, [3])
    assert list(outcome.reasons).count("no_score") == 3


def test_each_group_keeps_its_own_half() -> None:
    # The poems are all below the sums; one median for both would drop every poem.
    confidence = np.array([0.9, 0.8, 0.2, 0.1, 0.15])
    groups = np.array(["sums", "sums", "poems", "poems", "poems"])
    np.testing.assert_array_equal(select_confident(confidence, IDS, groups).indices, [0, 2, 4])
    np.testing.assert_array_equal(select_confident(confidence, IDS).indices, [0, 1, 2])


def test_a_fixed_gamma_is_a_bound_to_be_above() -> None:
    outcome = select_confident(np.array([0.5, 0.6, 0.7, 0.1, np.nan]), IDS, gamma=0.5)
    np.testing.assert_array_equal(outcome.indices, [2, 1])
    # 0 is a bound like any other, not the want of one.
    assert len(select_confident(np.array([0.1, 0.2, 0.3]), IDS[:3], gamma=0.0).indices) == 3


def test_an_infinite_confidence_is_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        select_confident(np.array([np.inf]), IDS[:1])
    with pytest.raises(ValueError, match="one length"):
        select_confident(np.ones(5), IDS, np.array(["a"]))
