import numpy as np

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.shortest import select_shortest

IDS = np.array(list("edcba"), dtype=object)


def test_the_shortest_come_first_and_ties_go_by_id() -> None:
    outcome = select_shortest(np.array([3, 9, 3, 1, 9]), IDS, Budget(loss_tokens=7))
    assert outcome.indices.tolist() == [3, 2, 0], "1 + 3 + 3 tokens, c before e"
    assert outcome.reasons.tolist() == ["", "over_budget", "", "", "over_budget"]
