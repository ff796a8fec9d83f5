"""The pages, asked as a browser asks, over a small workspace with a hostile row."""

import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from pipeline.reporting.report import read_run_report
from pipeline.run_context import RunContext
from pipeline.viewing import row_page
from pipeline.viewing.app import make_app
from pipeline.viewing.opened_run import Viewer
from pipeline.viewing.pages.rows import without_overlap
from pipeline.viewing.rendering import MOST_CHARACTERS
from storage.contamination import HitRow, write_check
from storage.database import Connection, open_workspace, read_workspace
from storage.documents import ContextPart
from storage.run_rows import RowFilter, RowOrder
from storage.selections import read_run_selections, write_trial
from storage.trial_items import plan_identity, write_plan, write_result
from storage.workspace import Workspace
from tests.flows.test_artifacts import REPORT as TRAINED
from tests.pipeline.evidence.test_lds_markdown import RESULT as OF_HALVES
from tests.pipeline.evidence.test_trial_markdown import RESULT
from tests.viewed_workspace import view_workspace

HOST = "127.0.0.1:8765"
TOKEN = "secret"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunContext]:
    path, run, _ = view_workspace(tmp_path_factory.mktemp("seen"))
    return path, run


@pytest.fixture(scope="module")
def client(seen: tuple[Path, RunContext]) -> Iterator[TestClient]:
    app = make_app(Viewer(seen[1].workspace), TOKEN, [HOST])
    with TestClient(app, base_url=f"http://{HOST}") as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client


def test_ids_are_those_of_the_rows_that_are_wanted(seen: tuple[Path, RunContext]) -> None:
    viewer = Viewer(seen[1].workspace)
    rows = viewer.open(viewer.list_runs()[0]).rows
    of_reasons = [rows.ids(RowFilter(reason=reason)) for reason, _ in rows.facets()["reason"]]
    for (reason, many), ids in zip(rows.facets()["reason"], of_reasons, strict=True):
        page = rows.page(RowFilter(reason=reason), RowOrder(), (0, many))
        assert ids == sorted(line.example_id for line in page) and len(ids) == many
    assert len(of_reasons) > 1 and {*rows.ids()} > {*of_reasons[0]}


Get = Callable[[str], str]


@pytest.fixture(scope="module")
def get(client: TestClient) -> Get:
    def ask(path: str) -> str:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    return ask


def ids_in(page: str) -> list[str]:
    """The rows of a table, in its order."""
    return re.findall(r'<td><a class="id" href="/rows/([0-9a-f]{32})', page)


def asked(seen: tuple[Path, RunContext], query: str) -> list[str]:
    with read_workspace(seen[1].workspace) as con:
        return [row[0] for row in con.execute(query).fetchall()]


def test_the_table_has_every_row_of_the_run_once(get: Get, seen: tuple[Path, RunContext]) -> None:
    found = ids_in(get("/rows"))
    assert sorted(found) == sorted(asked(seen, "select example_id from examples"))
    assert len(set(found)) == len(found)


def test_a_filter_gives_the_rows_that_decisions_have(
    get: Get, seen: tuple[Path, RunContext]
) -> None:
    for reason in ("above_threshold", "over_budget", "near_duplicate", "held_out"):
        query = f"select example_id from outcomes where reason = '{reason}' order by 1"
        assert (wanted := asked(seen, query)), reason
        assert sorted(ids_in(get(f"/rows?reason={reason}"))) == wanted
    chosen = "select example_id from selection_rows join run_selections using (selection_id)"
    by_rank = asked(seen, f"{chosen} where kind = 'choice' order by rank")
    assert ids_in(get("/rows?status=chosen")) == by_rank
    drawn = asked(seen, f"{chosen} where kind = 'random' order by example_id")
    assert sorted(ids_in(get("/rows?control=random"))) == drawn


def test_bounds_text_and_order_go_together(get: Get, seen: tuple[Path, RunContext]) -> None:
    page = get("/rows?min.response_length=5&max.response_length=9&sort=-response_length&text=W5X")
    query = "select example_id from examples where response like '%w5x%'"
    assert ids_in(page) == asked(seen, query)
    lengths = get("/rows?min.response_length=5&max.response_length=9&sort=-response_length")
    numbers = [float(n) for n in re.findall(r'<td class="n">([\d.]+)</td>', lengths)[::2]]
    assert numbers == sorted(numbers) and {min(numbers), max(numbers)} == {5, 9}
    assert ids_in(get("/rows?text=100%25")) == []  # per cent is a letter here, and no pattern


def test_rows_that_a_step_kept_are_those_that_went_on(
    get: Get, seen: tuple[Path, RunContext]
) -> None:
    links = re.findall(r'href="/rows\?([^"]*kept_by=\d+)"><b>([\d,]+)</b> kept', get("/"))
    assert len(links) == len(asked(seen, "select label from stage_counts where run_id = 'seen'"))
    for query, rows in links:
        assert f"<small>{rows} of" in get(f"/rows?{query}")


def test_bands_of_dropped_rows_lead_to_as_many(get: Get) -> None:
    links = re.findall(r'href="/rows\?([^"]*reason=[^"]*)"><b>&minus;([\d,]+)</b>', get("/"))
    assert {"over_budget", "near_duplicate"} <= {q.rpartition("=")[2] for q, _ in links}
    for query, rows in links:
        assert f"<small>{rows} of" in get(f"/rows?{query.replace('&amp;', '&')}")


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_hostile_row_is_text_and_nothing_else(get: Get, seen: tuple[Path, RunContext]) -> None:
    (hostile,) = asked(seen, "select example_id from examples where prompt like '<script%'")
    for page in (get("/rows"), get(f"/rows/{hostile}"), get("/rows?text=%3Cscript%3E")):
        read = Tags()
        read.feed(page)
        scripts = [attrs for tag, attrs in read.tags if tag == "script"]
        assert scripts and all((each["src"] or "").startswith("/static/") for each in scripts)
        assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
        assert '<script>document.title="taken"' in read.text  # as a person should see it
        assert "{{ 7 * 7 }}" in read.text
        assert not set("\x1b\u202e\u200b") & set(page)
        assert r"\u001b[31mred\u202eesrever" in read.text
        assert len(page) < 6 * MOST_CHARACTERS
    assert "characters)" in get(f"/rows/{hostile}")  # that it is cut is said


def test_a_row_tells_why_it_is_out_and_what_would_bring_it_in(
    get: Get, seen: tuple[Path, RunContext]
) -> None:
    query = "select example_id from outcomes where reason = 'above_threshold' order by value"
    page = get(f"/rows/{asked(seen, query)[0]}")
    assert "at_most is 20: with 21.0001 it would pass" in page
    assert "sluice what-if RECIPE --set select.steps.0.at_most=21.0001" in page
    (copy,) = asked(seen, "select example_id from outcomes where reason = 'near_duplicate'")
    page = get(f"/rows/{copy}")
    assert "compare the two word by word" in page and "dedupe.0.threshold=" in page
    assert "rows.jsonl" in page and "licence MIT" in page
    assert page.count("<meter") == 2  # a place among all rows for each of its scores
    best = ids_in(get("/rows?status=chosen"))[0]
    assert "picked as number 1 of 6" in get(f"/rows/{best}")


def test_the_nearest_rows_are_those_of_like_length(get: Get, seen: tuple[Path, RunContext]) -> None:
    (own,) = asked(seen, "select example_id from examples where prompt = 'Question 10?'")
    near = ids_in(get(f"/rows/{own}"))[:2] or re.findall(r"[0-9a-f]{32}", get(f"/rows/{own}"))
    expected = asked(
        seen, "select example_id from examples where prompt in ('Question 9?', 'Question 11?')"
    )
    assert set(near[:2]) == set(expected)


def test_a_run_that_goes_on_is_read_again(seen: tuple[Path, RunContext], tmp_path: Path) -> None:
    workspace = Workspace(shutil.copytree(seen[1].workspace.directory, tmp_path / "w"))
    app = make_app(Viewer(workspace), TOKEN, [HOST])
    with TestClient(app, base_url=f"http://{HOST}") as client:
        client.get(f"/?token={TOKEN}")
        assert "<b>6</b><span>chosen" in client.get("/").text
        with open_workspace(workspace) as con:
            con.execute("delete from run_selections")
        assert "Nothing is chosen yet" in client.get("/").text


def test_what_is_not_there_is_said(client: TestClient) -> None:
    for path in ("/rows?run=other", "/rows/ffffffff", "/static/../app.py", "/nothing"):
        assert client.get(path).status_code == 404, path
    for path in ("/rows?min.response_length=many", "/rows?sort=nosuch", "/rows?control=x"):
        assert client.get(path).status_code == 400, path
    assert client.get("/rows?page=0").status_code == 400
    assert "No row is like that" in client.get("/rows?page=9").text


def test_pairs_stand_side_by_side(get: Get, seen: tuple[Path, RunContext]) -> None:
    page = get("/pairs")
    assert (
        "near_duplicate" in page and "<mark>forest</mark>" in page and "<mark>wood</mark>" in page
    )
    (copy,) = asked(seen, "select example_id from outcomes where reason = 'near_duplicate'")
    (kept,) = asked(seen, "select because_of from outcomes where reason = 'near_duplicate'")
    assert "<mark>forest</mark>" in get(f"/pairs/{copy}/{kept}")
    assert "No row of this run went" in get("/pairs?reason=nosuch")


def test_hits_in_evaluation_sets_are_pairs_the_least_alike_first(
    seen: tuple[Path, RunContext], tmp_path: Path
) -> None:
    workspace = Workspace(shutil.copytree(seen[1].workspace.directory, tmp_path / "w"))
    ids = asked(seen, "select example_id from examples order by 1 limit 2")
    shared = {"words": "a b", "turn": 0, "role": "user", "turn_word": 1}
    hits = [
        HitRow(ids[0], "exam", 4, "prompt", "8-grams", 0.9, shared),
        HitRow(ids[1], "exam", 2, "answer", "semantic", 0.4, {"row_text": "<b>", "item_text": "i"}),
    ]
    empty: dict[str, object] = {key: [] for key in ("rules", "evaluations", "recall")}
    summary = {"action": "report", "rows": 2, **empty}
    with open_workspace(workspace) as con:
        write_check(con, "seen", [hits], [], summary)
    app = make_app(Viewer(workspace), TOKEN, [HOST])
    with TestClient(app, base_url=f"http://{HOST}") as client:
        client.get(f"/?token={TOKEN}")
        page = client.get("/pairs?reason=contaminated").text
    assert page.index("item 2") < page.index("item 4")
    assert "&lt;b&gt; / i" in page and '<mark class="shared">a b</mark>' in page


def test_histograms_hold_every_scored_row(
    client: TestClient, seen: tuple[Path, RunContext]
) -> None:
    lengths, ratios = client.get("/scores/histograms").json()
    assert (lengths["label"], ratios["label"]) == ("response_length", "type_token_ratio")
    for each in (lengths, ratios):
        assert len(each["edges"]) == len(each["groups"]["pool"]["shares"]) + 1
        for group in each["groups"].values():
            assert abs(sum(group["shares"]) - 1) < 1e-9
    query = "select count(value) from scores where scorer = 'response_length'"
    assert [lengths["scored"]] == asked(seen, query) == [lengths["groups"]["pool"]["rows"]]
    assert lengths["groups"]["chosen"]["rows"] == lengths["groups"]["random"]["rows"] == 6


def test_points_are_the_rows_with_both_scores(client: TestClient) -> None:
    found = client.get("/scores/points?x=response_length&y=type_token_ratio").json()
    assert found["rows"] == found["drawn"] == sum(len(g["x"]) for g in found["groups"].values())
    assert len(found["groups"]["chosen"]["ids"]) == 6
    assert client.get("/scores/points?x=response_length&y=nosuch").status_code == 400


def test_the_scripts_are_ours_and_plotly_s(client: TestClient) -> None:
    page = client.get("/scores").text
    for path in re.findall(r'<script src="([^"]+)"', page):
        answer = client.get(path)
        assert answer.status_code == 200 and "javascript" in answer.headers["content-type"]
    assert "plotly.js" in client.get("/plotly.js").text[:200]
    assert client.get("/what-if?set=select.held_out=0").status_code == 404  # without a recipe


def test_the_verdict_has_what_a_trial_came_to_or_that_there_was_none(
    get: Get, seen: tuple[Path, RunContext], tmp_path: Path
) -> None:
    assert "Not compared with random yet" in get("/")
    workspace = Workspace(shutil.copytree(seen[1].workspace.directory, tmp_path / "w"))
    with open_workspace(workspace) as con:
        write_result(con, write_a_plan(con), RESULT)
    app = make_app(Viewer(workspace), TOKEN, [HOST])
    with TestClient(app, base_url=f"http://{HOST}") as client:
        page = client.get(f"/?token={TOKEN}").text
    assert "Not compared" not in page and "nats per token" in page
    assert all(verdict["said"] in page for verdict in RESULT["verdicts"].values())
    assert "Do the scores know anything about training?" not in page


def test_the_verdict_has_what_random_halves_say_of_the_scores(
    seen: tuple[Path, RunContext], tmp_path: Path
) -> None:
    workspace = Workspace(shutil.copytree(seen[1].workspace.directory, tmp_path / "w"))
    with open_workspace(workspace) as con:
        write_result(con, write_a_plan(con), OF_HALVES)
    app = make_app(Viewer(workspace), TOKEN, [HOST])
    with TestClient(app, base_url=f"http://{HOST}") as client:
        page = client.get(f"/?token={TOKEN}").text
    assert page.count("Do the scores know anything about training?") == 1
    assert "not told from chance" in page and "24 random halves of 200 rows" in page
    assert "Not compared with random yet" in page, "halves compare no choice"


def write_a_plan(con: Connection) -> str:
    write_plan(con, "seen", {"arms": []}, [])
    return plan_identity({"arms": []})


def test_the_report_has_the_trainings_on_the_choice_and_the_cards_their_numbers(
    seen: tuple[Path, RunContext], tmp_path: Path
) -> None:
    workspace = Workspace(shutil.copytree(seen[1].workspace.directory, tmp_path / "w"))
    with open_workspace(workspace) as con:
        assert "## Training" not in read_run_report(con, "seen").markdown
        choice = read_run_selections(con, "seen")["choice"].selection_id
        for export, of in (("own", choice), ("other", "another selection")):
            con.execute(
                "insert into exports values (?, ?, ?, 1, 1)",
                [export, of, f"exports/{export}"],
            )
            cost: dict[str, object] = {"executions": 1, "seconds": 9.0, "rows": 12, "tokens": 700}
            cost |= {"device": "cpu", "peak_memory_bytes": 2**30}
            write_trial(con, f"trial-of-{export}", export, "models/a", (TRAINED, cost))
        write_result(con, write_a_plan(con), RESULT)
        report = read_run_report(con, "seen")
    assert "trial-of-own" in report.markdown and "trial-of-other" not in report.markdown
    assert "2.2500 → 1.7500 (5 rows)" in report.markdown
    assert report.costs is not None and "trial-of-own" in report.costs
    for told in ("9.0 in 1 execution(s)", "1.00 GiB"):  # another time after a kill
        assert told in report.costs and told not in report.markdown
    assert report.cards["evidence"].startswith("6 rows with ")
    assert "compared with" in report.cards["trial"] and "changes" not in report.cards


def test_of_many_rows_the_nearest_are_found_when_they_are_asked_for(
    get: Get, seen: tuple[Path, RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    (own,) = asked(seen, "select example_id from examples where prompt = 'Question 10?'")
    at_once = get(f"/rows/{own}")
    monkeypatch.setattr(row_page, "NEAR_AT_ONCE", 29)
    page = get(f"/rows/{own}")
    assert "Nearest rows" not in page and "find its nearest rows" in page
    later = get(f"/rows/{own}?near=true")
    assert later.partition("Nearest rows")[2] == at_once.partition("Nearest rows")[2]


def test_nearest_rows_are_the_runs_own(seen: tuple[Path, RunContext]) -> None:
    viewer = Viewer(seen[1].workspace)
    opened = viewer.open(viewer.list_runs()[0])
    own = opened.rows.at(0)
    assert own is not None
    with viewer.reading() as con:
        every = row_page.find_near(con, opened, own.example_id)
        nearest = {each.line.example_id for each in every}
        # Of another run: the same measurements, less the rows that were nearest.
        rows = [each for each in opened.rows.ids() if each not in nearest]
        find = opened.rows.find
        opened.rows.find = lambda ids: find([i for i in ids if i in rows])  # type: ignore[method-assign]
        others = row_page.find_near(con, opened, own.example_id)
    assert len(every) == len(others) == row_page.NEAREST
    assert not nearest & {each.line.example_id for each in others}
    assert min(e.similarity for e in every) >= max(o.similarity for o in others)


def test_a_passage_beside_another_is_shown_without_what_both_have() -> None:
    text = "0123456789abcdefghij"
    parts = [
        ContextPart(n, None, start, end, text[start:end], own=n == 2)
        for n, start, end in ((1, 0, 8), (2, 6, 13), (3, 11, 18), (4, 12, 13))
    ]
    shown = without_overlap(parts)
    assert [part.text for part in shown] == ["012345", "6789abc", "defgh"]
    assert "".join(part.text for part in shown) == text[:18] and shown[1] == parts[1]
