from io import BytesIO
from pathlib import Path

import matplotlib.image
import numpy as np
import orjson
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from pipeline.reporting import score_histograms
from pipeline.reporting.score_histograms import (
    MOST_BINS,
    ScoreSpread,
    bin_edges,
    draw,
    draw_panel,
    draw_score_histograms,
    heading,
    mark_of_spreads,
    read_spreads,
    shares,
)
from pipeline.scoring.stage import ScoreSettings
from storage.database import open_workspace
from storage.selections import PickedRows, write_selection
from tests.stage_runner import count_words, score, start

NAN = np.nan


def test_shares_are_of_the_scored_rows_and_the_tails_are_in_the_outer_bins() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    found = shares(np.array([-5.0, 0.5, 1.5, 99.0, NAN]), edges)
    assert found.tolist() == [0.5, 0.5]
    assert shares(np.array([NAN]), edges).tolist() == [0.0, 0.0]
    assert shares(np.array([-5.0]), edges).tolist() == [1.0, 0.0]


def test_one_far_value_does_not_set_the_scale() -> None:
    values = np.append(np.linspace(0, 1, 1000), 1e9)
    edges = bin_edges(values)
    assert edges[-1] < 1.1 and len(edges) == 31 + 1  # the root of 1001
    assert len(bin_edges(np.linspace(0, 1, 100_000))) == MOST_BINS + 1


@pytest.mark.parametrize("values", [[], [NAN, NAN], [3.0, 3.0]])
def test_edges_rise_whatever_the_scores_are(values: list[float]) -> None:
    assert (np.diff(bin_edges(np.array(values, dtype=np.float64))) > 0).all()


def test_edges_divide_all_but_the_tails() -> None:
    # 401 values: half a percent of them lies below 2 and above 398; the root of 401 is 20.02.
    np.testing.assert_allclose(bin_edges(np.arange(401.0)), np.linspace(2, 398, 21))
    powers = bin_edges(np.exp2(np.arange(401.0)), logarithmic=True)
    np.testing.assert_allclose(powers, np.geomspace(4, 2.0**398, 21))
    np.testing.assert_allclose(bin_edges(np.array([3.0, 3.0])), np.linspace(2.5, 3.5, 9))
    same = bin_edges(np.array([3.0, 3.0]), logarithmic=True)
    np.testing.assert_allclose(same, np.geomspace(1.5, 6, 9))
    np.testing.assert_allclose(bin_edges(np.array([NAN])), np.linspace(1, 2, 9))


@pytest.mark.parametrize(("unit", "scale"), [("ratio", "linear"), ("perplexity", "log")])
def test_a_panel_has_the_pool_as_bars_and_the_selection_as_a_line(unit: str, scale: str) -> None:
    axis = Figure().subplots()
    draw_panel(axis, ScoreSpread("a", unit, np.array([1.0, 4.0, NAN]), np.array([4.0])))
    assert axis.get_title() == "a: 1 of 3 unscored"
    assert (axis.get_xlabel(), axis.get_ylabel()) == (unit, "share of rows")
    assert axis.get_xscale() == scale
    bars = axis.get_legend_handles_labels()
    assert bars[1] == ["pool", "selected"]
    filled = [each.get_fill() for each in bars[0] if isinstance(each, StepPatch)]
    assert filled == [True, False]


def test_there_is_a_panel_for_each_score() -> None:
    pool = np.linspace(0, 1, 50)
    spreads = [ScoreSpread(name, "ratio", pool, pool[:5]) for name in "abcde"]
    sizes = [matplotlib.image.imread(BytesIO(draw(spreads[:n], 50))).shape for n in (1, 3, 5)]
    # 80 dots an inch; a panel is 4.6 by 2.5 inches, heading and legend take half an inch.
    assert [size[:2] for size in sizes] == [(240, 368), (440, 736), (640, 736)]
    assert draw(spreads, 50) == draw(spreads, 50)


def test_the_heading_says_when_only_a_part_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_histograms, "MOST_ROWS", 10)
    spread = ScoreSpread("a", "ratio", np.zeros(9), np.zeros(2))
    others = ScoreSpread("b", "ratio", np.zeros(8), np.zeros(3))
    expected = "Scores of 9 rows of the pool and of 2 selected"
    assert heading([spread], 9) == heading([spread, others], 9) == expected
    assert "25 rows of the pool (one in 3 drawn)" in heading([spread], 25)


def test_pool_and_selection_are_read_from_the_workspace(tmp_path: Path) -> None:
    rows = [{"prompt": "one", "completion": "a " * n} for n in range(1, 7)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    run, pool = start(tmp_path / "work", [tmp_path / "rows.jsonl"])
    place = tmp_path / "scores.png"
    assert draw_score_histograms(run, pool, place) is None  # nothing is scored yet
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    with open_workspace(run.workspace) as con:
        write_selection(con, run.run_id, PickedRows("best", pool[:2], 5))
    (spread,) = read_spreads(run, pool)
    assert (spread.label, spread.unit) == ("response_length", "tokens")
    assert sorted(spread.pool) == [1, 2, 3, 4, 5, 6]
    assert spread.chosen.tolist() == spread.pool[:2].tolist()
    picture = draw_score_histograms(run, pool, place)
    assert picture is not None and picture.startswith(b"\x89PNG")
    assert mark_of_spreads(read_spreads(run, pool), 6).encode() in picture


def test_a_picture_of_the_same_scores_is_not_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def draw_nothing(spreads: object, rows: int, mark: str) -> bytes:
        drawn.append(rows)
        return b"PNG " + mark.encode()

    monkeypatch.setattr(score_histograms, "draw", draw_nothing)
    rows = [{"prompt": "one", "completion": "a " * n} for n in range(1, 7)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    run, pool = start(tmp_path / "work", [tmp_path / "rows.jsonl"])
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    place = tmp_path / "scores.png"
    first = draw_score_histograms(run, pool, place)
    assert first is not None
    place.write_bytes(first)
    assert draw_score_histograms(run, pool, place) == first and drawn == [6]
    with open_workspace(run.workspace) as con:  # another choice of the same pool
        write_selection(con, run.run_id, PickedRows("best", pool[:2], 5))
    assert draw_score_histograms(run, pool, place) != first and drawn == [6, 6]
    assert draw_score_histograms(run, pool[:5], place) != first and drawn == [6, 6, 5]


def test_long_tails_are_cut_by_ratios() -> None:
    edges = bin_edges(np.array([1.0, 10.0, 100.0, 1000.0] * 30), logarithmic=True)
    np.testing.assert_allclose(edges[1:] / edges[:-1], edges[1] / edges[0])
    alone = bin_edges(np.array([8.0]), logarithmic=True)
    np.testing.assert_allclose([alone[0], alone[-1]], [4.0, 16.0])
