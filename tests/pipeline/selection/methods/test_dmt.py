"""DMT's two stages: who is in each, how many, and the limits of the fraction."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.selection.methods.dmt import DMT, select_dmt_stage

SKILLS = np.array(["math"] * 100 + ["code"] * 30 + ["chat"] * 50, dtype=object)
IDS = np.array([f"{row:03d}" for row in range(180)], dtype=object)
SPECIAL = ("math", "code")


def in_stage_2(fraction: float, seed: int = 0) -> set[str]:
    return set(IDS[select_dmt_stage(SKILLS, SPECIAL, IDS, fraction, 2, seed).indices])


def test_the_first_stage_is_all_that_is_specialised_and_nothing_general() -> None:
    outcome = select_dmt_stage(SKILLS, SPECIAL, IDS, 0.1, 1)
    np.testing.assert_array_equal(outcome.indices, np.arange(130))
    assert set(outcome.reasons[130:]) == {"other_stage"}


def test_the_second_stage_draws_a_fraction_of_each_skill() -> None:
    outcome = select_dmt_stage(SKILLS, SPECIAL, IDS, 0.125, 2)
    # round(12.5) is 12, round(3.75) is 4: of each skill, and not 16 of both together
    assert Counter(SKILLS[outcome.indices]) == {"math": 12, "code": 4, "chat": 50}
    assert set(outcome.reasons) == {"", "not_drawn"}


def test_the_limits_of_the_fraction() -> None:
    assert in_stage_2(0) == set(IDS[130:])
    assert in_stage_2(1) == set(IDS)


def test_the_draw_is_seeded_and_a_larger_fraction_drops_no_row() -> None:
    assert in_stage_2(0.1) == in_stage_2(0.1) != in_stage_2(0.1, seed=1)
    assert in_stage_2(0.1) < in_stage_2(0.3)


def test_a_fraction_is_written_as_one() -> None:
    step = {"method": "dmt", "specialised": ["math"], "stage": 2}
    assert DMT.model_validate({**step, "fraction": "1/256"}) == DMT.model_validate(step)
    for wrong in ("a bit", "1/0", 1.5, -0.1):
        with pytest.raises(ValidationError):
            DMT.model_validate({**step, "fraction": wrong})


def test_a_fraction_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        select_dmt_stage(SKILLS, SPECIAL, IDS, 2, 2)
