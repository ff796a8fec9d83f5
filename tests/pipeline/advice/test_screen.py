"""The screen's arithmetic: sample sizes, bounds against a table, the gate, who is drawn."""

import numpy as np
import pytest

from pipeline.advice.screen import (
    draw_for_review,
    estimate_source,
    gate_of,
    rank_suspects,
    rows_to_review,
    wilson_upper,
)

IDS = np.array([f"{n:04d}" for n in range(1000)], dtype=object)
SOURCES = np.array(["a"] * 900 + ["b"] * 100, dtype=object)


@pytest.mark.parametrize(
    ("at_most", "confidence", "rows"),
    [(0.01, 0.95, 299), (0.002, 0.95, 1497), (0.05, 0.95, 59), (0.01, 0.99, 459)],
)
def test_how_many_rows_certify_a_share(at_most: float, confidence: float, rows: int) -> None:
    assert rows_to_review(at_most, confidence) == rows
    # fewer would not: with such a share of bad rows, none turns up too often
    assert (1 - at_most) ** rows <= 1 - confidence < (1 - at_most) ** (rows - 1)


@pytest.mark.parametrize(
    ("bad", "reviewed", "upper"),
    [(0, 10, 0.2775), (1, 10, 0.4042), (0, 100, 0.0370), (5, 100, 0.1118), (50, 100, 0.5962)],
)
def test_the_bound_against_a_table(bad: int, reviewed: int, upper: float) -> None:
    # of two-sided 95 % intervals, which are one-sided ones of 97.5 %
    assert wilson_upper(bad, reviewed, 0.975) == pytest.approx(upper, abs=5e-5)


def test_rows_that_certify_a_share_bound_it_by_less() -> None:
    assert wilson_upper(0, 299, 0.95) <= 0.01 and wilson_upper(0, 1497, 0.95) <= 0.002
    assert wilson_upper(0, 250, 0.95) > 0.01


def test_a_source_that_nobody_read_is_bounded_by_1() -> None:
    unread = estimate_source("a", 500, 299, (0, 0), 0.95)
    assert (unread.share, unread.upper, unread.gate) == (None, 1.0, "block")


def test_a_source_read_whole_has_no_bound_but_its_share() -> None:
    assert estimate_source("a", 20, 20, (20, 0), 0.95).gate == "pass"
    assert estimate_source("a", 20, 20, (20, 1), 0.95).upper == 0.05


def test_the_gate_s_borders_are_within() -> None:
    assert [gate_of(u) for u in (0.002, 0.0021, 0.01, 0.0101)] == ["pass", "warn", "warn", "block"]


def test_one_bad_row_in_a_hundred_trips_the_gate_and_none_does_not() -> None:
    # 10,000 rows read by a reader who sees half of what is bad: 50 of the 100
    assert estimate_source("a", 20_000, 10_000, (10_000, 50), 0.95).gate == "warn"
    assert estimate_source("a", 20_000, 10_000, (10_000, 100), 0.95).gate == "block"
    assert estimate_source("a", 20_000, 10_000, (10_000, 0), 0.95).gate == "pass"


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_impossible_demands_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        rows_to_review(share, 0.95)
    with pytest.raises(ValueError, match="3 bad of 2 reviewed"):
        wilson_upper(3, 2, 0.95)


def test_each_source_has_its_own_draw_and_a_small_one_is_drawn_whole() -> None:
    drawn = draw_for_review(IDS, SOURCES, 299, 0)
    assert (SOURCES[drawn] == "a").sum() == 299 and (SOURCES[drawn] == "b").sum() == 100
    assert len(set(drawn)) == len(drawn)


def test_a_stricter_demand_reads_the_same_rows_and_more() -> None:
    few, many = (set(IDS[draw_for_review(IDS, SOURCES, n, 7)]) for n in (50, 200))
    assert few < many
    assert few != set(IDS[draw_for_review(IDS, SOURCES, 50, 8)])


def test_the_draw_does_not_hang_on_the_order_of_the_rows() -> None:
    order = np.random.default_rng(0).permutation(1000)
    one, other = (
        draw_for_review(IDS, SOURCES, 40, 0),
        draw_for_review(IDS[order], SOURCES[order], 40, 0),
    )
    assert list(IDS[one]) == list(IDS[order][other])


def test_a_row_is_as_suspicious_as_its_worst_signal() -> None:
    nan = np.nan
    signals = {
        "confidence": (np.array([0.9, 0.1, nan, 0.5, nan]), "low"),
        "ifd": (np.array([1.5, 0.2, 2.0, nan, 0.9]), "above_1"),
    }
    rows, why = rank_suspects(signals, IDS[:5])  # type: ignore[arg-type]
    # row 1 has the lowest confidence, row 2 the highest ifd: a tie that goes to the lower id;
    # row 0 is second by ifd (1 of 4), row 3 second by confidence (1 of 3); row 4 is not above 1.
    assert list(rows) == [1, 2, 0, 3]
    assert list(why) == ["ifd", "confidence", "ifd", "confidence", ""]


def test_a_signal_whose_low_values_are_good_has_its_worst_on_top() -> None:
    harm = np.array([1.0, 6.0, 0.5, np.nan, 3.0])
    rows, why = rank_suspects({"harm": (harm, "high")}, IDS[:5])
    assert list(rows) == [1, 4, 0, 2] and list(why) == ["harm", "harm", "harm", "", "harm"]


def test_without_signals_nobody_is_suspicious() -> None:
    rows, why = rank_suspects({}, IDS)
    assert len(rows) == 0 and set(why) == {""}
