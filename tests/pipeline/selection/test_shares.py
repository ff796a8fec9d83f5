"""Shares of a budget: exact counts, groups that fall short, reasons, and the recipe's block."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.ranking.budget import Budget
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.methods.top_k import select_top_k
from pipeline.selection.shares import (
    Groups,
    PickGroup,
    Shares,
    describe_mixture,
    group_rows,
    label_names,
    select_in_shares,
)
from pipeline.selection.unspent import describe_shortfalls

NAMES = np.array(["a"] * 50 + ["b"] * 40 + ["c"] * 10, dtype=object)
IDS = np.array([f"{row:03d}" for row in range(100)], dtype=object)
ONES = np.ones(100, dtype=np.int64)
SCORES = np.arange(100) / 7 % 3


def weigh(**weights: float) -> Groups:
    return Groups(NAMES, {name: Fraction(str(weight)) for name, weight in weights.items()})


def pick_top(scores: np.ndarray = SCORES, tokens: np.ndarray | None = None) -> PickGroup:
    def pick(places: np.ndarray, part: int) -> Outcome:
        budget = Budget(rows=part) if tokens is None else Budget(loss_tokens=part)
        own = None if tokens is None else tokens[places]
        return select_top_k(scores[places], IDS[places], budget, own)

    return pick


def counts(outcome: Outcome) -> dict[str, int]:
    return dict(Counter(NAMES[outcome.indices].tolist()))


def test_row_counts_are_exact_and_each_group_gives_its_best() -> None:
    outcome, _ = select_in_shares(weigh(a=0.5, b=0.3, c=0.2), ONES, 30, pick_top())
    assert counts(outcome) == {"a": 15, "b": 9, "c": 6}
    own = outcome.indices[NAMES[outcome.indices] == "b"]
    np.testing.assert_array_equal(
        own, 50 + select_top_k(SCORES[50:90], IDS[50:90], Budget(rows=9)).indices
    )
    assert set(outcome.reasons) == {"", "over_budget"}


def test_every_beginning_has_about_the_proportions_of_the_whole() -> None:
    outcome, _ = select_in_shares(weigh(a=0.5, b=0.3, c=0.2), ONES, 50, pick_top())
    for k in range(1, 51):
        of_a = (NAMES[outcome.indices[:k]] == "a").sum()
        assert abs(of_a - k / 2) <= 1


def test_a_group_without_enough_scored_rows_leaves_the_rest_to_the_others() -> None:
    scores = SCORES.copy()
    scores[5:50] = np.nan  # a has 5 rows that can be picked, and is due 20
    groups = weigh(a=0.5, b=0.3, c=0.2)
    outcome, wanted = select_in_shares(groups, ONES, 40, pick_top(scores))
    assert counts(outcome) == {"a": 5, "b": 25, "c": 10}  # 35 go 3 : 2, and c is full with 10
    said = describe_shortfalls(groups.names, wanted, outcome, ONES, "rows")
    assert said == [
        "a was to get 20 rows and got 5: no other row may be taken (no_score 45)",
        "the other groups got 15 rows more than their shares",  # b 13 and c 2
    ]
    assert describe_mixture(groups, outcome.indices, ONES) == "shares: a 12.5%, b 62.5%, c 25.0%"


def test_many_groups_are_not_all_named() -> None:
    names = np.array([f"g{row:02d}" for row in range(100)], dtype=object)
    groups = group_rows(names, ONES, Shares(temperature=1))
    said = describe_mixture(groups, np.arange(100), ONES)
    assert said.startswith("shares: g00 1.0%, ") and said.endswith("g11 1.0%, and 88 groups more")


def test_a_budget_in_tokens_is_shared_in_tokens() -> None:
    tokens = np.where(NAMES == "a", 10, 5)
    groups = weigh(a=0.5, b=0.5, c=0)
    outcome, wanted = select_in_shares(groups, tokens, 107, pick_top(tokens=tokens))
    # 54 and 53 tokens, ties to a: 5 rows of 10 and 10 rows of 5; less than a row is left of each.
    assert counts(outcome) == {"a": 5, "b": 10}
    assert describe_shortfalls(groups.names, wanted, outcome, tokens, "loss tokens") == []
    assert set(outcome.reasons[NAMES == "c"]) == {"no_share"}


def test_a_cause_is_the_row_it_was_within_its_group() -> None:
    def first_beats_all(places: np.ndarray, part: int) -> Outcome:
        reasons = np.full(len(places), "too_similar", dtype=object)
        reasons[0] = ""
        causes = np.zeros(len(places), dtype=np.int64)
        causes[0] = -1
        return account_for(np.array([0]), reasons, np.ones(len(places)), causes)

    outcome, _ = select_in_shares(weigh(a=0.5, b=0.5, c=0), ONES, 10, first_beats_all)
    assert set(outcome.because_of[1:50]) == {0} and set(outcome.because_of[51:90]) == {50}
    assert set(outcome.because_of[[0, 50, *range(90, 100)]]) == {-1}


def test_a_row_of_no_group_has_no_score() -> None:
    names = NAMES.copy()
    names[:3] = ""
    groups = group_rows(names, ONES, Shares(by="cluster", temperature=1))
    outcome, _ = select_in_shares(groups, ONES, 20, pick_top())
    assert set(outcome.reasons[:3]) == {"no_score"} and len(outcome.indices) == 20


def test_a_quota_for_a_group_that_is_not_there_names_those_that_are() -> None:
    shares = Shares(by="license", quotas={"bb": 0.5})
    with pytest.raises(
        ValueError, match=r"the license 'bb'. Did you mean 'b'\? There are: a, b, c"
    ):
        group_rows(NAMES, ONES, shares)


def test_others_drop_lets_the_quotas_share_the_whole_budget() -> None:
    groups = group_rows(NAMES, ONES, Shares(quotas={"a": 0.3, "c": 0.1}, others="drop"))
    outcome, _ = select_in_shares(groups, ONES, 20, pick_top())
    assert counts(outcome) == {"a": 15, "c": 5}
    assert set(outcome.reasons[NAMES == "b"]) == {"no_share"}


def test_a_label_is_a_name() -> None:
    assert list(label_names(np.array([3.0, np.nan, 1234567.0, 0.5]))) == ["3", "", "1234567", "0.5"]


def test_groups_that_are_numbers_may_be_written_as_numbers() -> None:
    assert Shares.model_validate({"quotas": {3: 0.5}}).quotas == {"3": 0.5}


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "give quotas, a temperature, or both"),
        ({"quotas": {"a": 0.7, "b": 0.31}}, "add up to 1.01, which is more than 1"),
        ({"temperature": 2, "others": "drop"}, "needs quotas"),
        ({"quotas": {"a": 1}, "temperature": 2, "others": "drop"}, "has none"),
        ({"temperature": 0}, "greater than 0"),
        ({"quotas": {"a": 0}}, "greater than 0"),
    ],
)
def test_shares_that_say_nothing_are_refused(shares: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Shares.model_validate(shares)


def test_ten_tenths_are_one() -> None:
    Shares(quotas={str(n): 0.1 for n in range(10)})  # as floats they are 0.9999999999999999
