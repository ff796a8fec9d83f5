"""The level of each look, so that all of them together have the one that was asked for."""

import pytest

from pipeline.trials.looks import look_levels


def test_levels_of_looks() -> None:
    assert look_levels([5]) == [0.05]
    levels = look_levels([3, 5, 8])
    assert levels == sorted(levels) and levels[-1] < 0.05 and levels[0] < 0.002
    # Equal shares: the constant of O'Brien and Fleming for three looks is 2.004 at the last.
    assert look_levels([1, 2, 3])[-1] == pytest.approx(0.0451, abs=0.001)
    for wrong in ([], [3, 3], [5, 3], [0, 2]):
        with pytest.raises(ValueError, match="rising"):
            look_levels(wrong)
