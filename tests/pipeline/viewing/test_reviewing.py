"""Verdicts from the page: stored under the lock, and in no estimate they do not belong to."""

import json
import re

import pytest
from starlette.testclient import TestClient

from pipeline.advice.review_queue import Demand, estimate_sources, find_screened, list_rows
from pipeline.viewing.app import make_app
from pipeline.viewing.opened_run import Viewer
from storage.database import open_workspace, read_workspace
from storage.reviews import read_judged
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace
from tests.viewed_workspace import view_workspace

HOST = "127.0.0.1:8765"
OWN = {"origin": f"http://{HOST}", "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return view_workspace(tmp_path_factory.mktemp("reviewed"))[1].workspace


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> TestClient:
    client = TestClient(
        make_app(Viewer(workspace, reviewer="ada"), "t", [HOST]), base_url=f"http://{HOST}"
    )
    client.get("/?token=t")
    return client


def row_in(page: str) -> str:
    return str(re.findall(r'name="row" value="([0-9a-f]{32})"', page)[0])


def judge(client: TestClient, row: str, verdict: str, kind: str, note: str = "") -> int:
    body = f"row={row}&verdict={verdict}&kind={kind}&note={note}"
    return client.post("/review", content=body, headers=OWN).status_code


@pytest.mark.slow
def test_a_verdict_is_stored_and_the_next_row_comes(
    client: TestClient, workspace: Workspace
) -> None:
    first = row_in(client.get("/review?kind=over_budget").text)
    assert row_in(client.get("/review?kind=over_budget").text) == first  # the same on another day
    assert row_in(client.get(f"/review?kind=over_budget&skip={first}").text) != first
    assert judge(client, first, "bad", "over_budget", "why+not%3F") == 200
    with read_workspace(workspace) as con:
        assert read_judged(con, [first]) == {first: ("bad", "why not?")}
    page = client.get("/review?kind=over_budget").text
    assert row_in(page) != first and "1 of " in page


def test_what_was_not_drawn_by_screen_is_in_no_estimate(
    client: TestClient, workspace: Workspace
) -> None:
    row = row_in(client.get("/review?kind=chosen").text)
    assert judge(client, row, "bad", "chosen") == 200
    with read_workspace(workspace) as con:
        (source,) = estimate_sources(con, find_screened(con, "seen"), 0.95)
    assert (source.reviewed, source.bad) == (0, 0)
    with open_workspace(workspace) as con:
        list_rows(con, find_screened(con, "seen"), Demand(0.01, 0.95, 0))
    with read_workspace(workspace) as con:  # now it is drawn, and its verdict is known
        (source,) = estimate_sources(con, find_screened(con, "seen"), 0.95)
    assert (source.reviewed, source.bad) == (1, 1)
    queued = row_in(client.get("/review").text)
    assert queued != row and judge(client, queued, "ok", "queue") == 200
    with read_workspace(workspace) as con:
        (source,) = estimate_sources(con, find_screened(con, "seen"), 0.95)
    assert (source.reviewed, source.bad) == (2, 1)


def test_nothing_else_is_written(client: TestClient, workspace: Workspace) -> None:
    row = row_in(client.get("/review?kind=above_threshold").text)
    assert judge(client, row, "maybe", "chosen") == 400
    assert judge(client, "f" * 32, "ok", "chosen") == 404
    assert judge(client, row, "ok", "chosen", "x" * 20_000) == 413
    foreign = {**OWN, "origin": "http://evil.example"}
    body = f"row={row}&verdict=ok&kind=chosen"
    assert client.post("/review", content=body, headers=foreign).status_code == 403
    with lock_workspace(workspace, "run looked-at"):
        assert judge(client, row, "ok", "above_threshold") == 409
    with read_workspace(workspace) as con:
        assert read_judged(con, [row]) == {}


def test_what_is_marked_bad_leads_to_the_step_that_drops_it(
    client: TestClient, workspace: Workspace
) -> None:
    row = row_in(client.get("/review?kind=chosen").text)
    assert judge(client, row, "bad", "chosen", "a+%3Cb%3E") == 200
    page = client.get("/review").text
    marked = page.partition('id="marked"')[2].partition("</section>")[0]
    assert f"/rows/{row}" in marked and "- {method: not_marked_bad}" in marked
    assert "Try it" not in marked, "no recipe was given"
    assert "bad by ada" in client.get(f"/rows/{row}").text
    assert "a &lt;b&gt;" in client.get(f"/rows/{row}").text
    with open_workspace(workspace) as con:
        dropping = [{"method": "not_marked_bad"}, {"method": "random"}]
        recipe = json.dumps({"select": {"steps": dropping}})
        con.execute("update runs set recipe = json_merge_patch(recipe, ?)", [recipe])
    fresh = TestClient(make_app(Viewer(workspace), "t", [HOST]), base_url=f"http://{HOST}")
    fresh.get("/?token=t")
    assert "its next run leaves out those" in fresh.get("/review").text
