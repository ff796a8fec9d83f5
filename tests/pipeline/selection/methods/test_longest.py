import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.longest import select_longest

IDS = np.array(list("edcba"), dtype=object)
TOKENS = np.array([7, 9, 3, 9, 1])


def test_the_longest_come_first_and_ties_go_by_id() -> None:
    outcome = select_longest(TOKENS, IDS, Budget(rows=3))
    assert outcome.indices.tolist() == [3, 1, 0], "b before d"
    assert outcome.reasons.tolist() == ["", "", "over_budget", "", "over_budget"]
    assert outcome.value.tolist() == [7.0, 9.0, 3.0, 9.0, 1.0]


def test_a_budget_in_tokens_ends_before_the_first_row_that_does_not_fit() -> None:
    # 9 + 9 are 18 of 20; the next has 7, and the row of 1 that would fit is not looked for.
    assert select_longest(TOKENS, IDS, Budget(loss_tokens=20)).indices.tolist() == [3, 1]


def test_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        select_longest(TOKENS[:2], IDS, Budget(rows=1))
