"""What is stored of decisions is what steps had to say; what every step did follows from it."""

from collections.abc import Iterator

import pytest

from storage.conversations import Conversation
from storage.database import Connection
from storage.decisions import Decisions
from storage.runs import StageCount, read_counts, start_run, write_step
from storage.sources import ReadRow, Source, add_source, complete_source, write_rows
from storage.what_if import read_given


@pytest.fixture(name="ids")
def fixture_ids(con: Connection) -> Iterator[list[str]]:
    """Four examples of a source, one of them there twice, and a run on it."""
    talks = [Conversation([{"role": "user", "content": str(n)}]) for n in range(4)]
    talks.sort(key=lambda talk: talk.example_id)
    rows = [ReadRow(at, talk, "messages") for at, talk in enumerate([*talks, talks[0]], 1)]
    for name, some in (("s1", rows), ("s2", rows[1:2])):
        add_source(con, Source(name, f"{name}.jsonl", None, None, "MIT", name, 9))
        write_rows(con, name, some, [])
        complete_source(con, name, len(some))
    start_run(con, "r", {"name": "test", "seed": 0}, "code", {}, ["s1"])
    yield [talk.example_id for talk in talks]


def take(con: Connection, stage: str, step: int, kept: int, decisions: Decisions | None) -> None:
    dropped = {why: 1 for why in (decisions.reasons if decisions else ()) if why}
    added = len(decisions.added) if decisions else 0
    count = StageCount(stage, step, "x", kept + len(dropped) - added, kept, added, dropped)
    write_step(con, "r", count, decisions)


def drop(example_id: str, reason: str) -> Decisions:
    return Decisions([example_id], [reason], [None], [None])


def kept_by(con: Connection, stage: str, step: int) -> list[str]:
    query = """
    select example_id from decisions
    where run_id = 'r' and stage = $stage and step = $step and outcome = 'kept' order by all
    """
    found = con.execute(query, {"stage": stage, "step": step}).fetchall()
    return [str(row[0]) for row in found]


def test_a_step_has_what_came_in_before_it_and_was_not_dropped_before_it(
    con: Connection, ids: list[str]
) -> None:
    a, b, c, d = ids
    take(con, "ingest", 1, 4, None)
    take(con, "generate", 1, 6, Decisions.of_added(["new", "other"]))
    take(con, "dedupe", 1, 5, drop(b, "near_duplicate"))
    take(con, "dedupe", 2, 4, drop("new", "near_duplicate"))
    take(con, "select", 1, 3, drop(d, "held_out"))
    take(con, "select", 2, 3, None)
    take(con, "export", 1, 3, None)
    assert kept_by(con, "ingest", 1) == [a, b, c, d], "once, and nothing that came later"
    assert kept_by(con, "generate", 1) == sorted([*ids, "new", "other"])
    assert kept_by(con, "dedupe", 1) == sorted([a, c, d, "new", "other"])
    assert kept_by(con, "dedupe", 2) == sorted([a, c, d, "other"])
    assert kept_by(con, "select", 1) == kept_by(con, "select", 2) == sorted([a, c, "other"])
    assert kept_by(con, "export", 1) == sorted([a, c, "other"])
    (stored,) = con.execute("select count(*) from outcomes").fetchall()
    assert stored == (5,), "two that were added, three that were dropped"


def test_what_a_step_was_given_is_what_the_view_says_of_it(con: Connection, ids: list[str]) -> None:
    a, b, c, d = ids
    take(con, "ingest", 1, 4, None)
    take(con, "generate", 1, 5, Decisions.of_added(["new"]))
    take(con, "dedupe", 1, 4, drop(b, "near_duplicate"))
    take(con, "check", 1, 5, Decisions.of_added([b]))  # it comes back
    take(con, "select", 1, 4, drop(d, "held_out"))
    take(con, "select", 2, 3, drop("new", "below"))
    take(con, "export", 1, 3, None)
    for step in (1, 2, 3):
        said = "select example_id from decisions where stage = 'select' and step = $step order by 1"
        by_view = [str(row[0]) for row in con.execute(said, {"step": step}).fetchall()]
        assert read_given(con, "r", step) == by_view, step
    assert read_given(con, "r", 1) == sorted([a, b, c, d, "new"])
    assert read_given(con, "r", 2) == sorted([a, b, c, "new"])
    assert read_given(con, "r", 3) == [], "the run has no such step"
    assert read_given(con, "another", 1) == []


def test_stages_come_in_the_order_in_which_a_run_takes_them(
    con: Connection, ids: list[str]
) -> None:
    """By name, `check` is before `clean` and `export` before `ingest`."""
    stages = ["ingest", "generate", "clean", "indicate", "dedupe", "check", "select", "export"]
    for stage in stages:
        take(con, stage, 1, 4 if stages.index(stage) < 5 else 3, None)
    take(con, "check", 1, 3, drop(ids[2], "contaminated"))
    assert [len(kept_by(con, stage, 1)) for stage in stages] == [4, 4, 4, 4, 4, 3, 3, 3]


def test_what_comes_back_is_there_again(con: Connection, ids: list[str]) -> None:
    a, b, c, d = ids
    take(con, "ingest", 1, 4, None)
    take(con, "clean", 1, 3, drop(a, "redacted"))
    take(con, "indicate", 1, 4, Decisions([a], [""], [None], [None], added=frozenset([a])))
    take(con, "dedupe", 1, 4, None)
    assert kept_by(con, "clean", 1) == [b, c, d]
    assert kept_by(con, "indicate", 1) == kept_by(con, "dedupe", 1) == ids


def test_another_run_on_the_same_rows_has_decisions_of_its_own(
    con: Connection, ids: list[str]
) -> None:
    start_run(con, "q", {"name": "test", "seed": 0}, "code", {}, ["s2"])
    take(con, "ingest", 1, 4, None)
    take(con, "dedupe", 1, 3, drop(ids[1], "near_duplicate"))
    write_step(con, "q", StageCount("dedupe", 1, "x", rows_in=1, kept=1))
    found = con.execute(
        "select run_id, count(*) from decisions where stage = 'dedupe' group by all order by all"
    ).fetchall()
    assert found == [("q", 1), ("r", 4)]
    (kept,) = con.execute("select example_id, outcome from decisions where run_id = 'q'").fetchall()
    assert kept == (ids[1], "kept")


def test_a_word_on_a_row_that_was_kept_stays(con: Connection, ids: list[str]) -> None:
    a, b, c, d = ids
    take(con, "ingest", 1, 4, None)
    causes, values, details = [None, None, a, None], [None, 0.0, None, None], ["", *[None] * 3]
    take(con, "select", 1, 4, Decisions(ids, [""] * 4, causes, values, details))
    said = "select * exclude (run_id, stage, step) from decisions where stage = 'select'"
    assert con.execute(f"{said} order by 1").fetchall() == [
        (a, "kept", "", None, None, ""),
        (b, "kept", "", None, 0.0, None),
        (c, "kept", "", a, None, None),
        (d, "kept", "", None, None, None),
    ]
    told = con.execute("select example_id from outcomes order by 1").fetchall()
    assert told == [(a,), (b,), (c,)]


def test_a_step_is_stored_and_replaced_whole_and_no_other(con: Connection, ids: list[str]) -> None:
    a, b, *_ = ids
    take(con, "dedupe", 1, 3, drop(a, "near_duplicate"))
    take(con, "dedupe", 2, 2, drop(b, "near_duplicate"))
    count = StageCount("dedupe", 1, "x", rows_in=4, kept=3, dropped={"shared_span": 1})
    write_step(con, "r", count, drop(b, "shared_span"))
    told = con.execute("select step, example_id, reason from outcomes order by all").fetchall()
    assert told == [(1, b, "shared_span"), (2, b, "near_duplicate")]
    write_step(con, "r", StageCount("dedupe", 1, "x", rows_in=4, kept=4))
    assert con.execute("select step from outcomes").fetchall() == [(2,)], "nothing is left of it"
    assert {each.step: each.kept for each in read_counts(con, "r")} == {1: 4, 2: 2}
