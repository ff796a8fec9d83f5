import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.methods.k_centre import select_k_centre
from pipeline.selection.shares import Shares, group_rows, select_in_shares
from pipeline.selection.unspent import describe_shortfalls, describe_unspent
from scorers.arrays import Ints

TEN = np.ones(10, dtype=np.int64)


def outcome(*reasons: str) -> Outcome:
    """Of rows with these reasons; "" for a pick."""
    given = np.array(reasons, dtype=object)
    return account_for(np.flatnonzero(given == ""), given, np.full(len(given), np.nan))


@pytest.mark.parametrize(
    ("reasons", "limit", "said"),
    [
        (["", "", ""], 3, []),
        (["", "", "over_budget"], 2, []),
        (["", "", ""], 5, ["2 of the budget's 5 rows are not spent: every row is taken"]),
        (
            ["", "no_score", "too_similar", "too_similar"],
            4,
            [
                "3 of the budget's 4 rows are not spent: no other row may be taken (too_similar 2, "
                "no_score 1)"
            ],
        ),
        ([], 4, ["4 of the budget's 4 rows are not spent: every row is taken"]),
    ],
)
def test_what_is_left_of_a_budget_in_rows(reasons: list[str], limit: int, said: list[str]) -> None:
    found = outcome(*reasons)
    assert describe_unspent(found, TEN[: len(reasons)], limit, "rows") == said


@pytest.mark.parametrize("waiting", ["over_budget", "covered"])
def test_of_tokens_the_next_row_may_not_fit(waiting: str) -> None:
    costs = np.array([40, 35, 30])
    said = describe_unspent(outcome("", "", waiting), costs, 100, "loss tokens")
    assert said == ["25 of the budget's 100 loss tokens are not spent: the next row does not fit"]


def test_each_group_that_falls_short_says_why_and_what_the_others_got() -> None:
    names = np.array(["a"] * 3 + ["b"] * 2 + ["c"] * 5, dtype=object)
    found = outcome("", "too_similar", "too_similar", "", "", *[""] * 4, "over_budget")
    wanted = {"a": 3, "b": 3, "c": 1}
    assert describe_shortfalls(names, wanted, found, TEN, "rows") == [
        "a was to get 3 rows and got 1: no other row may be taken (too_similar 2)",
        "b was to get 3 rows and got 2: every row is taken",
        "the other groups got 3 rows more than their shares",
    ]
    full = {"a": 1, "b": 2, "c": 4}
    assert describe_shortfalls(names, full, found, TEN, "rows") == []


def test_many_groups_are_not_all_named() -> None:
    names = np.array([f"g{row}" for row in range(10)] * 2, dtype=object)
    names[10:] = [f"h{row}" for row in range(10)]
    found = outcome(*[""] * 20)
    said = describe_shortfalls(
        names, dict.fromkeys(names.tolist(), 2), found, np.ones(20, dtype=np.int64), "rows"
    )
    assert len(said) == 13 and said[-1] == "and 8 groups more fell short"


def test_a_group_whose_other_rows_are_covered_takes_what_another_leaves() -> None:
    # a is due 5 and 2 of its 5 rows have an embedding; b has 8, and k-centre calls those that it
    # does not pick covered.
    names = np.array(["a"] * 5 + ["b"] * 8, dtype=object)
    angles = np.linspace(0, 1, 13)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    vectors[2:5] = np.nan
    ids = np.array([f"{row:02d}" for row in range(13)], dtype=object)
    ones = np.ones(13, dtype=np.int64)
    groups = group_rows(names, ones, Shares(quotas={"a": 0.625, "b": 0.375}))

    def pick(rows: Ints, part: int) -> Outcome:
        return select_k_centre(vectors[rows], ids[rows], Budget(rows=part))

    found, wanted = select_in_shares(groups, ones, 8, pick)
    assert wanted == {"a": 5, "b": 3}
    assert len(found.indices) == 8, "2 of a, 3 of b, and the 3 that a leaves"
    assert describe_unspent(found, ones, 8, "rows") == []
