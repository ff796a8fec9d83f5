"""The map's page: computed once, coloured, and an area of it leads to the rows that lie there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from pipeline.run_context import RunContext
from pipeline.viewing import stored_map
from pipeline.viewing.app import make_app
from pipeline.viewing.opened_run import Viewer
from pipeline.viewing.pages.row_map import in_groups
from storage.workspace import Workspace
from tests.pipeline.viewing.test_app import ids_in
from tests.viewed_workspace import view_workspace

HOST = "127.0.0.1:8765"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    return view_workspace(tmp_path_factory.mktemp("mapped"))[1]


def browse(workspace: Workspace) -> TestClient:
    client = TestClient(make_app(Viewer(workspace), "t", [HOST]), base_url=f"http://{HOST}")
    client.get("/?token=t")
    return client


@pytest.fixture(scope="module")
def client(seen: RunContext) -> Iterator[TestClient]:
    yield browse(seen.workspace)


def test_it_is_computed_once_and_found_again(
    client: TestClient, seen: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get("/map/points").json()
    assert first["placed"] == first["rows"] == len(first["places"]) // 2 == 30
    (file,) = seen.workspace.indexes.glob("map-*.npz")
    monkeypatch.setattr(stored_map, "compute", None)  # it would fail
    assert browse(seen.workspace).get("/map/points").json() == first
    file.unlink()
    with pytest.raises(TypeError, match="not callable"):
        browse(seen.workspace).get("/map/points")


def test_an_area_leads_to_the_rows_that_lie_in_it(client: TestClient, seen: RunContext) -> None:
    places = np.array(client.get("/map/points").json()["places"]).reshape(-1, 2)
    left, right = places[:, 0].min(), float(np.median(places[:, 0]))
    low, high = places[:, 1].min(), places[:, 1].max()
    page = client.get(f"/rows?area=pca:{left - 1},{right},{low - 1},{high + 1}").text
    within = np.flatnonzero(places[:, 0] <= right)
    named = [client.get(f"/map/row?n={n}").json()["id"] for n in within]
    assert sorted(ids_in(page)) == sorted(named) and 0 < len(named) < 30
    assert f'name="area" value="pca:{left - 1},{right}' in page, "further filters keep it"
    narrow = f"/rows?area=pca:{left - 1},{right},{low - 1},{high + 1}&status=chosen"
    assert set(ids_in(client.get(narrow).text)) < set(named)
    assert client.get("/rows?area=pca:1,2,3").status_code == 400
    assert client.get("/rows?area=tea:1,2,3,4").status_code == 400


def test_rows_are_coloured_by_groups_and_by_scores(client: TestClient) -> None:
    found = client.get("/map/colours?colour=status").json()
    sizes = {each["name"]: each["rows"] for each in found["groups"]}
    assert sizes["chosen"] == 6 and sum(sizes.values()) == len(found["codes"]) == 30
    names = [each["name"] for each in found["groups"]]
    for n, code in enumerate(found["codes"]):
        row = client.get(f"/map/row?n={n}").json()
        assert (row["rank"] is not None) == (names[code] == "chosen")
    values = client.get("/map/colours?colour=response_length").json()["values"]
    assert values.count(None) == 1, "a prompt only has no response"
    assert client.get("/map/colours?colour=nothing").status_code == 400


def test_small_groups_are_one_and_hostile_names_are_written_out() -> None:
    codes = np.array([n for n in range(14) for _ in range(20 - n)])
    found = in_groups(codes, [f"{n}\u202e" for n in range(14)])
    groups = found["groups"]
    assert isinstance(groups, list) and len(groups) == 12
    assert groups[0] == {"name": "0\\u202e", "rows": 20}
    assert groups[11] == {"name": "all others", "rows": 9 + 8 + 7}
    np.testing.assert_array_equal(found["codes"], np.minimum(codes, 11))


def test_a_hostile_row_is_text(client: TestClient) -> None:
    rows = [client.get(f"/map/row?n={n}").json() for n in range(30)]
    (hostile,) = [row for row in rows if "<script>" in row["prompt"]]
    assert "\u202e" not in hostile["prompt"] and "\x1b" not in hostile["prompt"]
    assert len(hostile["response"]) < 400
    assert client.get("/map/row?n=30").status_code == 404


def test_a_run_without_embeddings_says_what_it_takes(seen: RunContext, tmp_path: Path) -> None:
    workspace = Workspace(shutil.copytree(seen.workspace.directory, tmp_path / "w"))
    viewer = Viewer(workspace)
    opened = viewer.open(viewer.list_runs()[0])
    opened.measures = {k: v for k, v in opened.measures.items() if k != "embeddings_both"}
    client = TestClient(make_app(viewer, "t", [HOST]), base_url=f"http://{HOST}")
    client.get("/?token=t")
    assert "measure.embeddings" in client.get("/map").text
    assert client.get("/map/points").status_code == 404
