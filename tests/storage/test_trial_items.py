"""Plans are written once and before; items and results come back as they were."""

from storage.database import Connection
from storage.trial_items import (
    ItemValues,
    Replicate,
    plan_identity,
    read_evaluated,
    read_items,
    read_last_halves,
    read_last_result,
    read_results,
    write_items,
    write_plan,
    write_result,
)

PLAN = {"arms": ["choice", "random"], "seeds": 3}
REPLICATES = [Replicate("choice", "t1", 0.01, 0, "e1"), Replicate("none", "m", None, 0, None)]


def test_a_plan_that_is_written_after_a_result_says_so(con: Connection) -> None:
    changed = {**PLAN, "seeds": 5}
    first = plan_identity(PLAN)
    assert write_plan(con, "run", PLAN, REPLICATES) is None
    assert write_plan(con, "run", changed, REPLICATES) is None, "nothing was known yet"
    write_result(con, first, {"found": 1})
    assert write_plan(con, "run", {**PLAN, "seeds": 8}, REPLICATES) == first
    assert write_plan(con, "other", {**PLAN, "seeds": 9}, REPLICATES) is None
    # Both stay as they were written, whatever is known by now.
    assert write_plan(con, "run", PLAN, REPLICATES) is None
    assert write_plan(con, "run", changed, REPLICATES) is None
    assert read_last_result(con, "run") == {"found": 1} and read_results(con) == [{"found": 1}]
    assert read_last_result(con, "other") is None
    # What halves say of scores is no result of a comparison, and changes no plan of one.
    halves = plan_identity({**PLAN, "seeds": 9})
    assert read_last_halves(con, "other") is None
    write_result(con, halves, {"halves": 24})
    assert (
        read_last_halves(con, "other") == {"halves": 24} and read_last_result(con, "other") is None
    )
    assert read_last_halves(con, "run") is None and read_results(con) == [{"found": 1}]
    assert write_plan(con, "other", {**PLAN, "seeds": 10}, []) is None
    (count,) = con.execute("select count(*) from trial_replicates").fetchall()[0]
    assert count == 8, "of four plans, each once"


def test_items_are_read_in_their_order_and_once(con: Connection) -> None:
    values = ItemValues("nll", [3, 1], ["p", None], [2.5, 1.5], [7, 5])
    for _ in range(2):
        write_items(con, "t1", "gold", [values])
    assert read_evaluated(con, "t1") == {"gold"} and read_evaluated(con, "t2") == set()
    assert read_items(con, "t1", "gold", "nll") == ItemValues(
        "nll", [1, 3], [None, "p"], [1.5, 2.5], [5, 7]
    )
    assert read_items(con, "t1", "gold", "margin").items == []
