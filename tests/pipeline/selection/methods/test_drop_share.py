import numpy as np
import pytest

from pipeline.selection.methods.drop_share import select_without

IDS = np.array(["a", "b", "c", "d", "e", "f"])
SCORES = np.array([3.0, 1.0, np.nan, 2.0, 3.0, 0.0])


def test_the_highest_or_the_lowest_go() -> None:
    # Five rows have a score, and two fifths of them are two.
    high = select_without(SCORES, IDS, 0.4, "highest")
    assert high.reasons.tolist() == ["above_share", "", "no_score", "", "above_share", ""]
    assert high.indices.tolist() == [5, 1, 3], "the one furthest from the end first"
    low = select_without(SCORES, IDS, 0.4, "lowest")
    assert low.reasons.tolist() == ["", "below_share", "no_score", "", "", "below_share"]
    assert low.indices.tolist() == [0, 4, 3]


@pytest.mark.parametrize(("end", "gone"), [("highest", 4), ("lowest", 5)])
def test_of_equal_scores_the_higher_id_goes_and_shares_round_down(end: str, gone: int) -> None:
    outcome = select_without(SCORES, IDS, 0.39, end)  # type: ignore[arg-type]
    assert np.flatnonzero(np.isin(outcome.reasons, ["above_share", "below_share"])) == [gone]


def test_less_than_a_row_drops_none() -> None:
    assert (select_without(SCORES, IDS, 0.19, "lowest").reasons == "").sum() == 5


def test_an_infinite_score_is_refused() -> None:
    with pytest.raises(ValueError, match="1 scores are infinite"):
        select_without(np.array([np.inf, 1.0]), IDS[:2], 0.5, "lowest")
