"""A page is made again as soon as anything that it could show is new, and only then."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.curate_dataset import renew_page
from pipeline.run_context import RunContext
from pipeline.viewing import page_mark
from pipeline.viewing.page_mark import is_page_fresh, mark_file
from storage.database import Connection, open_workspace
from storage.reviews import Review, add_reviews, write_verdicts
from storage.runs import finish_run
from storage.selections import write_trial
from storage.trial_items import plan_identity, write_plan, write_result
from tests.flows.test_artifacts import REPORT
from tests.pipeline.evidence.test_trial_markdown import RESULT
from tests.viewed_workspace import view_workspace


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    run = view_workspace(tmp_path_factory.mktemp("marked"))[1]
    renew_page(run.workspace, "seen")
    return run


def plan(con: Connection) -> None:
    write_plan(con, "seen", {"arms": []}, [])


NEWS: dict[str, Callable[[Connection], object]] = {
    "a measurement that was retried": lambda con: con.execute(
        "update shards set sha256 = 'another' where path = (select min(path) from shards)"
    ),
    "a score": lambda con: con.execute(
        "update scores set value = value + 1 "
        "where example_id = (select max(example_id) from scores)"
    ),
    "a row to review": lambda con: add_reviews(con, "s", [Review("e", "a", "random", None)]),
    "a verdict": lambda con: write_verdicts(con, {"e": ("bad", "")}, "ada"),
    "a training": lambda con: write_trial(con, "t", "e", "models/a", (REPORT, None)),
    "a trial that is planned": plan,
    "what a trial came to": lambda con: write_result(con, plan_identity({"arms": []}), RESULT),
    "a licence": lambda con: con.execute("update sources set license = 'CC0-1.0'"),
    "a decision": lambda con: con.execute(
        "update outcomes set reason = 'no_score' where example_id = "
        "(select min(example_id) from outcomes where reason = 'over_budget')"
    ),
    "a table": lambda con: con.execute("create table later (n integer)"),
}


@pytest.mark.parametrize("news", NEWS)
def test_whatever_is_new_makes_it_again_once(run: RunContext, news: str) -> None:
    assert is_page_fresh(run.workspace, "seen")
    with open_workspace(run.workspace, views=False) as con:
        NEWS[news](con)
    assert not is_page_fresh(run.workspace, "seen")
    page_mark.keep_mark(run.workspace, "seen")  # as if it had been made again
    assert is_page_fresh(run.workspace, "seen")


def test_a_night_without_news_leaves_it_alone(run: RunContext) -> None:
    page = run.workspace.page_of("seen")
    before = page.stat()
    with open_workspace(run.workspace, views=False) as con:
        finish_run(con, "seen")  # at another time
    assert renew_page(run.workspace, "seen") == page
    assert (page.stat().st_ino, page.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_page_that_was_cut_or_looks_otherwise_now_is_made_again(
    run: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = run.workspace.page_of("seen")
    whole = page.read_text("utf-8")
    page.write_text(whole[:100], "utf-8")
    assert not is_page_fresh(run.workspace, "seen")
    renew_page(run.workspace, "seen")
    assert len(page.read_text("utf-8")) > 1000 and is_page_fresh(run.workspace, "seen")
    monkeypatch.setattr(page_mark, "LOOKS", ("static/view.js",))
    assert not is_page_fresh(run.workspace, "seen")
    monkeypatch.undo()
    mark_file(run.workspace, "seen").unlink()
    assert not is_page_fresh(run.workspace, "seen")
    page.unlink()
    assert not is_page_fresh(run.workspace, "seen")
