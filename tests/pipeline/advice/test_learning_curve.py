"""The learning curve: slices that nest and are not tested on, and the gain of twice the rows."""

import numpy as np
import pytest

from pipeline.advice.learning_curve import SLICES, NestedSlices, gain_of_doubling, nested_slices

IDS = [f"{n:05d}" for n in range(1500)]


def test_slices_nest_and_none_is_tested_on() -> None:
    found = nested_slices(IDS)
    assert list(found.sizes) == list(SLICES) and len(found.test) == 100
    assert len(set(found.train)) == max(SLICES)
    assert not set(found.test) & set(found.train)


def test_slices_are_seeded_and_do_not_hang_on_the_order() -> None:
    assert nested_slices(IDS) == nested_slices(IDS[::-1]) != nested_slices(IDS, seed=1)


def test_a_small_task_is_left_out_rather_than_tested_on_what_it_trained() -> None:
    assert nested_slices(IDS[:119]) == NestedSlices((), (), ())
    found = nested_slices(IDS[:170])
    assert len(found.test) == 100 and list(found.sizes) == [50] and len(found.train) == 50


def test_the_gain_of_doubling_is_that_of_the_law() -> None:
    rows = np.array(SLICES)
    scores = 80 - 120 * rows**-0.5
    expected = 120 * (1000**-0.5 - 2000**-0.5)
    assert gain_of_doubling(rows, scores) == pytest.approx(expected, rel=0.02)
    assert gain_of_doubling(rows, np.full(5, 7.0)) == pytest.approx(0, abs=1e-6)


def test_two_points_are_no_law() -> None:
    with pytest.raises(ValueError, match="3 or more"):
        gain_of_doubling(np.array([50, 50, 100]), np.zeros(3))
