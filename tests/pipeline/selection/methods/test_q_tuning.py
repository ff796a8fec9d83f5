from itertools import pairwise

import numpy as np
import pytest

from pipeline.selection.methods.q_tuning import corners, select_q_tuning

#                     noise  misconception  redundant  calibration
PERPLEXITY = np.array([9.0, 8.0, 1.5, 2.0])
ENTROPY = np.array([3.0, 0.5, 0.4, 2.9])
IDS = np.array(list("dcba"))


def ranks(rho: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-normal perplexity, and an entropy that goes with it; ids in any order."""
    rng = np.random.default_rng(seed)
    error, own = rng.standard_normal((2, n))
    doubt = rho * error + np.sqrt(1 - rho**2) * own
    ids = np.array([f"{i:06x}" for i in rng.permutation(n)], dtype=object)
    return np.exp(error), doubt - doubt.min(), ids


def test_one_row_in_each_quadrant_keeps_misconception_and_calibration() -> None:
    outcome = select_q_tuning(PERPLEXITY, ENTROPY, IDS, 0.5)
    assert set(outcome.indices) == {1, 3}
    assert list(outcome.reasons) == ["harmful_noise", "", "redundant", ""]
    assert outcome.notes == (
        "misconceptions and calibration samples supply 2 of 2 rows; 0 (0%) are filled up by "
        "|PPL' - H'|, 0 of them towards misconception and 0 towards calibration",
    )
    # PPL' is 1, 0.867, 0, 0.067 and H' 1, 0.038, 0, 0.962.
    np.testing.assert_allclose(outcome.value, [0, 0.828, 0, -0.895], atol=1e-3)


def test_a_wider_cut_has_every_row_of_a_narrower_one() -> None:
    error, doubt, _ = ranks(0.3, 400)
    masks = [corners(error, doubt, cut) for cut in np.linspace(0, 0.49, 50)]
    for narrow, wide in pairwise(masks):
        assert not (narrow & ~wide).any()
    assert masks[0].sum() == 0  # strictly beyond the extremes there is nothing
    assert masks[-1].sum() > 100


@pytest.mark.parametrize(
    ("share", "rows"), [(0.125, 12), (0.25, 25), (0.29, 29), (0.5, 50), (1.0, 100)]
)
@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.7, 0.99])
def test_the_share_is_met_exactly(rho: float, share: float, rows: int) -> None:
    assert len(select_q_tuning(*ranks(rho, 100), share).indices) == rows


def test_the_share_of_no_row_is_no_row() -> None:
    assert len(select_q_tuning(PERPLEXITY, ENTROPY, IDS, 0.2).indices) == 0


def test_a_supply_that_is_exact_is_not_filled_up() -> None:
    error, doubt, ids = ranks(-0.5, 1000)
    outcome = select_q_tuning(error, doubt, ids, 0.125)
    assert "supply 125 of 125 rows; 0 (0%)" in outcome.notes[0]


@pytest.mark.parametrize(("rho", "most"), [(0.0, 0.48), (0.5, 0.32), (0.7, 0.23), (0.9, 0.12)])
def test_the_corners_hold_as_much_as_was_worked_out(rho: float, most: float) -> None:
    error, doubt, ids = ranks(rho, 20_000)
    assert corners(error, doubt, 0.49).mean() == pytest.approx(most, abs=0.015)
    note = select_q_tuning(error, doubt, ids, 0.5).notes[0]
    filled = int(note.split("; ")[1].split(" ")[0])
    assert filled / 10_000 == pytest.approx(1 - most / 0.5, abs=0.03)


def test_the_fill_is_what_lies_furthest_from_the_diagonal() -> None:
    error, doubt = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0, 3.5, 5.0])
    outcome = select_q_tuning(error, doubt, np.array(list("abcde")), 0.4)
    # Nothing lies in a corner. Row 3 is off the diagonal; the others tie, and "a" is the lowest id.
    np.testing.assert_array_equal(outcome.indices, [3, 0])
    assert "supply 0 of 2 rows; 2 (100%)" in outcome.notes[0]


def test_one_enormous_perplexity_turns_the_fill_to_one_side_and_is_told() -> None:
    # Of PPL' = 0, 1/3, 2/3, 1 and H' = 0, 1/4, 1/2, 1 the third row lies to misconception; with a
    # last perplexity of 1000 it is H' alone that counts, and the same row lies to calibration.
    doubt = np.array([0.0, 1.0, 2.0, 4.0])
    for last, sides in ((4.0, (1, 0)), (1000.0, (0, 1))):
        error = np.array([1.0, 2.0, 3.0, last])
        (note,) = select_q_tuning(error, doubt, np.array(list("abcd")), 0.25).notes
        told = "{} of them towards misconception and {} towards calibration".format(*sides)
        assert note.endswith(f"1 (100%) are filled up by |PPL' - H'|, {told}")


def test_the_corners_come_before_a_fill_that_lies_further_off() -> None:
    # One row of 1000 flattens the scale: row 1 is a misconception by rank, though PPL' - H' is
    # 0.01 there, and rows 4 and 5 lie far off the diagonal in no corner of this width.
    error = np.array([1000, 10, 1, 1.1, 5, 5.1, 4.9, 5.2])
    doubt = np.array([10, 0.1, 9, 0.2, 8.5, 8.4, 5, 5.1])
    outcome = select_q_tuning(error, doubt, np.array(list("abcdefgh")), 0.25)
    assert set(outcome.indices) == {1, 2}


def test_equal_rows_are_told_apart_by_their_ids() -> None:
    outcome = select_q_tuning(np.ones(4), np.ones(4), IDS, 0.5)
    assert sorted(IDS[outcome.indices]) == ["a", "b"]


def test_rows_without_either_number_are_out_and_do_not_count() -> None:
    error = np.array([*PERPLEXITY, np.nan, 3.0])
    doubt = np.array([*ENTROPY, 1.0, np.nan])
    outcome = select_q_tuning(error, doubt, np.array(list("dcbaef")), 0.5)
    assert set(outcome.indices) == {1, 3}
    assert list(outcome.reasons[4:]) == ["no_score", "no_score"]


def test_a_monstrous_perplexity_does_not_flatten_the_others() -> None:
    error = np.array([np.exp(699), 2e8, 1e8, 1.0])
    outcome = select_q_tuning(error, np.zeros(4), IDS, 1.0)
    assert outcome.value[2] == pytest.approx(1e8 / np.exp(20), rel=1e-6)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="share must be above 0"):
        select_q_tuning(PERPLEXITY, ENTROPY, IDS, 0)
    with pytest.raises(ValueError, match="one length"):
        select_q_tuning(PERPLEXITY, ENTROPY[:2], IDS, 0.5)
