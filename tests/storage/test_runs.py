"""The books of a run balance, or do not exist."""

import pytest

from storage.database import Connection, QueryError
from storage.runs import (
    StageCount,
    find_run,
    finish_run,
    last_run,
    read_run_sources,
    read_run_targets,
    start_run,
    write_run_targets,
)

RECIPE = {"name": "test", "seed": 0}


def test_a_lost_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="10 rows in and 2 added, but 11 accounted for"):
        StageCount("select", 1, "x", rows_in=10, added=2, kept=8, dropped={"a": 3})


def test_an_invented_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="rows would be lost"):
        StageCount("ingest", 1, "x", rows_in=1, kept=1, quarantined={"invalid_json": 1})


def test_the_books_add_up_what_is_kept_dropped_and_quarantined() -> None:
    dropped, bad = {"a": 2, "b": 1}, {"c": 1, "d": 1}
    StageCount("ingest", 1, "x", rows_in=8, added=1, kept=4, dropped=dropped, quarantined=bad)
    with pytest.raises(ValueError, match="9 rows in and 1 added, but 9 accounted for"):
        StageCount("ingest", 1, "x", rows_in=9, added=1, kept=4, dropped=dropped, quarantined=bad)


def test_the_same_run_counts_its_executions(con: Connection) -> None:
    for _ in range(3):
        start_run(con, "r", RECIPE, "code", {"m": "f"}, ["s"])
    assert con.execute("select executions, finished_at from runs").fetchall() == [(3, None)]
    assert con.execute("select count(*) from run_sources").fetchall() == [(1,)]


def test_the_last_run_is_found(con: Connection) -> None:
    with pytest.raises(QueryError, match="no run has been made"):
        find_run(con, None)
    start_run(con, "one", RECIPE, "code", {}, [])
    start_run(con, "two", RECIPE, "code", {}, [])
    assert find_run(con, None) == "two"
    assert find_run(con, "one") == "one"
    with pytest.raises(QueryError, match="no run 'three'"):
        find_run(con, "three")


def test_a_run_knows_its_sources_and_targets_in_the_order_of_their_ids(con: Connection) -> None:
    start_run(con, "one", RECIPE, "code", {}, ["c", "a", "b"])
    start_run(con, "two", RECIPE, "code", {}, ["d"])
    write_run_targets(con, "one", ["z", "y"])
    assert read_run_sources(con, "one") == ["a", "b", "c"]
    assert read_run_targets(con, "one") == ["y", "z"]
    assert (read_run_sources(con, "two"), read_run_targets(con, "two")) == (["d"], [])


def test_the_last_run_of_a_recipe_is_found_by_its_name(con: Connection) -> None:
    for run_id, name in (("one", "a"), ("two", "a"), ("three", "b")):
        start_run(con, run_id, {"name": name, "seed": 0}, "code", {}, [])
    assert [last_run(con, name) for name in ("a", "b", None)] == ["two", "three", "three"]


@pytest.mark.parametrize("ahead", ["3 days", "1 second", "40 years"])
def test_the_order_of_runs_survives_a_clock_that_goes_back(con: Connection, ahead: str) -> None:
    start_run(con, "one", RECIPE, "code", {}, [])
    con.execute("insert into run_selections values ('one', 's', 'choice', null)")
    con.execute(f"update runs set started_at = now() + interval '{ahead}'")
    for run_id in ("two", "three"):
        start_run(con, run_id, RECIPE, "code", {}, [])
        assert last_run(con) == run_id
    assert con.execute("select previous_run_id from runs order by started_at").fetchall() == [
        (None,),
        ("one",),
        ("one",),
    ]
    start_run(con, "one", RECIPE, "code", {}, [])  # again: it is the last now
    finish_run(con, "one")
    assert last_run(con) == "one"
    backwards = "select count(*) from runs where finished_at < started_at"
    assert con.execute(backwards).fetchall() == [(0,)]
