"""Every arm spends the same, and a control is drawn from what the choice was made from."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.selection.candidates import Candidates
from pipeline.trials.arms import ArmRows, draw_control, require_enough
from pipeline.trials.settings import Control

IDS = [f"{at:02d}" for at in range(40)]
TOKENS = np.array([5 + at % 7 for at in range(40)])
ELIGIBLE = cast(Candidates, SimpleNamespace(ids=np.array(IDS, dtype=object), loss_tokens=TOKENS))
CHOICE = ArmRows(IDS[10:20], TOKENS[10:20])
BUDGET = Budget(loss_tokens=CHOICE.tokens)


def draw(control: Control, seed: int = 0) -> ArmRows:
    return draw_control(control, ELIGIBLE, CHOICE, BUDGET, seed)


@pytest.mark.parametrize("control", ["random", "length_matched", "longest", "shortest"])
def test_arms_have_the_tokens_of_the_budget_but_for_a_row(control: Control) -> None:
    rows = draw(control)
    assert BUDGET.loss_tokens is not None
    assert BUDGET.loss_tokens - TOKENS.max() < rows.tokens <= BUDGET.loss_tokens
    assert rows.loss_tokens.tolist() == [TOKENS[IDS.index(each)] for each in rows.ids]


def test_seeds_draw_other_rows_and_the_same_seed_the_same() -> None:
    assert draw("random", 1).ids == draw("random", 1).ids
    assert draw("random", 1).ids != draw("random", 2).ids
    assert draw("length_matched", 1).ids != draw("length_matched", 2).ids


def test_longest_and_shortest_are_those_and_ties_go_by_id() -> None:
    assert draw("longest").ids[:3] == ["06", "13", "20"]  # of 11 tokens
    assert draw("shortest").ids[:3] == ["00", "07", "14"]  # of 5
    assert draw("pool").ids == IDS, "whatever the budget"


def test_a_selection_is_the_head_of_its_order() -> None:
    assert CHOICE.within(Budget(rows=3)).ids == IDS[10:13]
    # 8 + 9 + 10 tokens; the row behind them has 11.
    assert CHOICE.within(Budget(loss_tokens=30)).ids == IDS[10:13]


def test_lengths_are_matched_with_rows_of_the_same_run_only() -> None:
    other = ArmRows(["zz"], np.array([5]))
    with pytest.raises(ValueError, match="1 rows of the choice are not among those"):
        draw_control("length_matched", ELIGIBLE, other, BUDGET, 0)


def test_an_arm_that_cannot_spend_the_budget_says_what_it_could() -> None:
    require_enough("choice", CHOICE, BUDGET, 11)
    require_enough("choice", CHOICE, Budget(loss_tokens=94), 11)  # the next row may have had 11
    with pytest.raises(ValueError, match=r"arm choice has 83 loss tokens.*of at most 83 loss"):
        require_enough("choice", CHOICE, Budget(loss_tokens=95), 11)
    with pytest.raises(ValueError, match=r"arm choice has 10 rows.*on 11"):
        require_enough("choice", CHOICE, Budget(rows=11), 11)
