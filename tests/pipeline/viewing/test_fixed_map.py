"""The map as a picture: the part that is drawn, where its points lie, and their colours."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.viewing import fixed_map
from pipeline.viewing.fixed_map import FixedMap, draw_map, on_picture
from pipeline.viewing.fixed_page import write_fixed_page
from pipeline.viewing.opened_run import OpenedRun, Viewer
from pipeline.viewing.stored_map import read_map
from tests.viewed_workspace import view_workspace


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Viewer, OpenedRun]:
    _, run, _ = view_workspace(tmp_path_factory.mktemp("viewed"))
    viewer = Viewer(run.workspace)
    return viewer, viewer.open(viewer.list_runs()[0])


def drawn(viewed: tuple[Viewer, OpenedRun]) -> FixedMap:
    viewer, opened = viewed
    with viewer.reading() as con:
        found = draw_map(con, opened)
    assert found is not None
    return found


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (\S+?)h0", path)]


def test_all_rows_are_where_the_map_of_the_pages_has_them(
    viewed: tuple[Viewer, OpenedRun],
) -> None:
    found, (viewer, opened) = drawn(viewed), viewed
    assert found.asked == found.rows == len(opened.rows.ids())
    shown = read_map(viewer, opened, "pca")
    assert shown is not None and found.variance == pytest.approx(shown.variance)
    codes, names = opened.rows.codes("status")
    there = ~np.isnan(shown.places[:, 0])
    expected = np.column_stack(on_picture(shown.places[there]))
    for group in found.groups:
        rows = expected[codes[there] == names.index(group.name)]
        np.testing.assert_allclose(points(group.path), rows, atol=0.06)
        assert group.rows == len(rows)
    assert {group.name: group.rows for group in found.groups}["chosen"] == 6


def test_a_part_is_drawn_and_said_to_be_one(
    viewed: tuple[Viewer, OpenedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, opened = viewed
    rows = len(opened.rows.ids())
    path = write_fixed_page(viewer.workspace, opened.listed.run_id)
    assert f"All {rows} rows." in path.read_text("utf-8")
    monkeypatch.setattr(fixed_map, "MOST_DRAWN", rows // 3)
    part = drawn(viewed)
    assert part.drawn <= part.asked <= rows // 3
    path = write_fixed_page(viewer.workspace, opened.listed.run_id)
    told = f"A sample, always the same: {part.asked} of {rows} rows."
    assert told in path.read_text("utf-8")


def test_a_picture_has_one_scale_and_a_point_of_all_the_same_in_its_middle() -> None:
    x, y = on_picture(np.array([[0.0, 0.0], [2.0, 1.0]]))
    # Two wide and one high: the width of 976 is what fits, so that a unit is 488 both ways.
    assert (x.tolist(), y.tolist()) == ([12.0, 988.0], [544.0, 56.0])
    x, y = on_picture(np.array([[3.0, 3.0], [3.0, 3.0]]))
    assert (x.tolist(), y.tolist()) == ([500.0, 500.0], [300.0, 300.0])


def test_a_page_whose_embeddings_are_damaged_says_that_it_has_no_map(tmp_path: Path) -> None:
    _, run, _ = view_workspace(tmp_path)
    (file,) = (run.workspace.directory / "measurements" / "embeddings").rglob("*.parquet")
    pq.write_table(pq.read_table(file).slice(1), file)  # which DuckDB can read
    page = write_fixed_page(run.workspace, run.run_id).read_text("utf-8")
    assert "<path" not in page and "The map is left out" in page and "near_duplicate" in page
