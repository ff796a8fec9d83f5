import numpy as np

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.top_k import select_top_k

SCORES = np.array([1.0, 3.0, np.nan, 3.0, 2.0])
IDS = np.array(["a", "d", "b", "c", "e"])


def test_picks_the_highest_and_the_lower_id_in_a_tie() -> None:
    outcome = select_top_k(SCORES, IDS, Budget(rows=2))
    np.testing.assert_array_equal(outcome.indices, [3, 1])
    assert list(outcome.reasons) == ["over_budget", "", "no_score", "", "over_budget"]
    np.testing.assert_array_equal(outcome.value, SCORES)


def test_picks_as_many_as_there_are_scores() -> None:
    np.testing.assert_array_equal(
        select_top_k(SCORES, IDS, Budget(fraction=1.0)).indices, [3, 1, 4, 0]
    )


def test_spends_tokens_in_the_order_of_the_scores() -> None:
    tokens = np.array([1, 4, 1, 7, 9])
    outcome = select_top_k(SCORES, IDS, Budget(loss_tokens=12), tokens)
    np.testing.assert_array_equal(outcome.indices, [3, 1])
