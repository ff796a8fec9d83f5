"""Budget advice: costs that never exceed the budget, ends that are one stage."""

import pytest

from pipeline.advice.budget_advice import (
    Advice,
    LabelSplit,
    TuningSplit,
    advise,
    sft_shares,
    split_labels,
    split_tuning,
    strong_shares,
)


@pytest.mark.parametrize("budget", [0, 1, 16, 64, 65, 256, 1023, 1024, 4096])
@pytest.mark.parametrize("price", [0.1, 0.3, 2.5])
def test_labels_never_cost_more_than_the_budget(budget: int, price: float) -> None:
    for strong in {0, budget // 3, budget}:
        split = split_labels(budget, strong, price)
        assert split.strong + split.weak * price <= budget + 1e-9
        assert split.strong + (split.weak + 1) * price > budget  # and nothing is left to buy one


def test_both_ends_are_one_stage_and_weak_labels_come_first() -> None:
    assert split_labels(100, 100).stages == ("strong",)
    assert split_labels(100, 0) == LabelSplit(weak=1000, strong=0)
    assert split_labels(100, 0).stages == ("weak",)
    assert split_labels(100, 40).stages == ("weak", "strong")


def test_more_strong_labels_than_the_budget_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 to 10 strong labels"):
        split_labels(10, 11)
    with pytest.raises(ValueError, match="a share and a price above 0"):
        split_tuning(10, 0.5, 0)


def test_quality_grows_with_the_budget() -> None:
    assert strong_shares(64) == (0, 0) and strong_shares(65) == (0.2, 0.6)
    assert strong_shares(1023) == (0.2, 0.6) and strong_shares(1024) == (1, 1)


def test_preferences_begin_at_a_thousand_rows_and_grow() -> None:
    assert sft_shares(999) == (1.0,)
    assert [min(sft_shares(rows)) for rows in (1000, 4999, 5000)] == [0.5, 0.5, 0.1]


@pytest.mark.parametrize("ratio", [0.25, 1, 3])
def test_a_dear_pair_buys_fewer_and_sft_is_never_left_out(ratio: float) -> None:
    split = split_tuning(6000, 0.1, ratio)
    assert split.sft_rows == 600 and split.preference_pairs == int(5400 / ratio)
    assert split_tuning(500, 0.01, ratio).sft_rows == 100  # at least so many
    assert split_tuning(50, 0.5, ratio) == TuningSplit(0.5, 50, 0)


def test_every_piece_names_its_source_and_says_where_it_goes_beyond_it() -> None:
    for rows in (None, 50, 999, 1000, 20_000):
        advice = advise(rows)
        assert all(each.source.startswith("arXiv:") for each in advice)
        assert all(("extrapolated)" in str(each)) == each.extrapolated for each in advice)
    assert [each.extrapolated for each in advise(300)] == [False, True, False]
    assert str(Advice("a", "arXiv:1", True)) == "a (arXiv:1, extrapolated)"


def test_the_price_of_a_pair_is_used() -> None:
    assert "1,000 rows and 3,000 pairs" in str(advise(10_000, 3.0)[0])
    assert "1,000 rows and 9,000 pairs" in str(advise(10_000)[0])
    assert "--rows-affordable" in str(advise(None)[1])
