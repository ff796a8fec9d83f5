import numpy as np
import pytest

from pipeline.selection.methods.top_share import select_top_share


def test_the_highest_share_of_all_rows_passes() -> None:
    scores = np.array([1.0, 3.0, np.nan, 3.0, 2.0, 0.0])
    outcome = select_top_share(scores, np.array(list("fedcba")), 0.5)
    assert outcome.indices.tolist() == [3, 1, 4], "half of six rows, the lower id first"
    assert list(outcome.reasons) == ["below_share", "", "no_score", "", "", "below_share"]
    np.testing.assert_array_equal(outcome.value, scores)
    assert outcome.notes == ("3 rows stay, a share of 0.5 of the 6 that came here",)


def test_a_share_is_rounded_down() -> None:
    scores, ids = np.arange(100.0), np.array([f"{at:02}" for at in range(100)])
    assert len(select_top_share(scores, ids, 0.29).indices) == 29
    assert len(select_top_share(scores[:3], ids[:3], 0.3).indices) == 0


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        select_top_share(np.array([1.0]), np.array(["a"]), share)
