import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.middle import select_middle
from pipeline.selection.steps import Step

IDS = np.array([f"{at:02}" for at in range(10)], dtype=object)
SCORES = np.arange(10.0)[::-1]  # row 0 has the highest


def test_it_begins_behind_a_share_of_the_ranked_rows() -> None:
    """RDS+'s middle: the slice from floor(0.33 * 9) on."""
    scores = np.where(np.arange(10) == 4, np.nan, SCORES)
    outcome = select_middle(scores, IDS, Budget(rows=3))
    assert outcome.indices.tolist() == [2, 3, 5], "nine rows have a score: the first two go"
    assert outcome.reasons.tolist() == [
        *["above_share"] * 2,
        *["", "", "no_score", ""],
        *["over_budget"] * 4,
    ]


def test_a_shuffled_third_is_drawn_from_that_third_alone() -> None:
    def draw(seed: int, rows: int) -> list[int]:
        picked = select_middle(SCORES, IDS, Budget(rows=rows), None, (0.3, 0.6), seed)
        assert set(picked.reasons[6:]) == {"below_share"}
        return [int(row) for row in picked.indices]

    assert sorted(draw(0, 3)) == [3, 4, 5]
    assert draw(0, 2) == draw(0, 3)[:2], "a larger budget adds rows"
    assert len({tuple(draw(seed, 3)) for seed in range(9)}) > 2


def test_shares_that_hold_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"after < before <= 1, got 0.5 and 0.5"):
        select_middle(SCORES, IDS, Budget(rows=1), None, (0.5, 0.5))
    step = {"method": "middle", "score": "s", "budget": {"rows": 1}, "before": 0.2}
    with pytest.raises(ValidationError, match=r"after 0.33 is not below before 0.2"):
        TypeAdapter(Step).validate_python(step)
