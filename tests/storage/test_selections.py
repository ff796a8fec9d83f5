"""Selections: in the order picked, of their run and kind, with what was trained on them."""

import pytest

from storage.database import Connection
from storage.runs import start_run
from storage.selections import (
    PickedRows,
    has_export,
    read_adapters,
    read_costed_trials,
    read_costs,
    read_run_exports,
    read_run_selections,
    read_selection,
    record_export,
    write_selection,
    write_trial,
)

RUNS = {"one": ("a", "2026-01-01"), "two": ("b", "2026-01-04"), "three": ("c", "2026-01-03")}


@pytest.fixture
def chosen(con: Connection) -> dict[str, str]:
    """What each run chose: the first two the same. The last has a control beside it."""
    for run_id, (name, day) in RUNS.items():
        start_run(con, run_id, {"name": name, "seed": 0}, "code", {}, [])
        con.execute("update runs set started_at = ? where run_id = ?", [day, run_id])
    ids = {"one": ["z", "a"], "two": ["z", "a"], "three": ["c", "b", "z"]}
    found = {
        run_id: write_selection(con, run_id, PickedRows("choice", picked, 10 * len(picked)))
        for run_id, picked in ids.items()
    }
    control = PickedRows("control", ["b"], 5, "random", found["three"])
    return {**found, "control": write_selection(con, "three", control)}


def train(con: Connection, selection_id: str, trial_id: str, cost: dict[str, int] | None) -> None:
    """An export of a selection, and a training on it."""
    record_export(con, f"of {trial_id}", selection_id, f"exports/{trial_id}", 2, 20)
    write_trial(con, trial_id, f"of {trial_id}", f"adapters/{trial_id}", ({}, cost))


def test_a_selection_is_read_in_the_order_picked(con: Connection, chosen: dict[str, str]) -> None:
    assert chosen["one"] == chosen["two"] != chosen["three"], "the same rows are one selection"
    assert {len(selection_id) for selection_id in chosen.values()} == {16}
    assert read_selection(con, chosen["one"]) == (["z", "a"], [1.0, 1.0])
    assert read_selection(con, chosen["three"])[0] == ["c", "b", "z"]
    found = read_run_selections(con, "three")
    assert [(kind, each.rows, each.loss_tokens) for kind, each in found.items()] == [
        ("choice", 3, 30),
        ("random", 1, 5),
    ]
    assert list(read_run_selections(con, "one")) == ["choice"]


def test_exports_of_a_run_are_those_of_its_choice(con: Connection, chosen: dict[str, str]) -> None:
    for trial_id, run_id in (("t2", "one"), ("t1", "one"), ("t3", "three"), ("t4", "control")):
        train(con, chosen[run_id], trial_id, None)
    assert read_run_exports(con, "two") == ["exports/t1", "exports/t2"]
    assert read_run_exports(con, "three") == ["exports/t3"]
    assert has_export(con, "of t3") and not has_export(con, "of t5")


def test_adapters_are_those_of_other_recipes_the_last_first(
    con: Connection, chosen: dict[str, str]
) -> None:
    for trial_id, run_id in (("t2", "one"), ("t1", "one"), ("t3", "three"), ("t4", "control")):
        train(con, chosen[run_id], trial_id, None)
    t1, t2, t3 = ((f"t{n}", f"adapters/t{n}") for n in (1, 2, 3))
    # The rows of t1 and t2 were chosen by a on the first day and by b on the fourth.
    assert read_adapters(con, "c") == [t1, t2]
    assert read_adapters(con, "a") == read_adapters(con, "b") == [t3]
    assert read_adapters(con, "another") == [t1, t2, t3]


def test_a_cost_that_is_not_known_is_none(con: Connection, chosen: dict[str, str]) -> None:
    train(con, chosen["one"], "free", None)
    train(con, chosen["one"], "costed", {"seconds": 1})
    assert read_costed_trials(con) == {"costed"}
    assert read_costs(con) == [({}, {"seconds": 1})]


def test_costs_are_those_of_the_last_run_first(con: Connection, chosen: dict[str, str]) -> None:
    for seconds, run_id in enumerate(("three", "one", "control")):
        train(con, chosen[run_id], f"t{seconds}", {"seconds": seconds})
    # Run two, the last, chose what run one did; a control is of its run.
    assert [cost["seconds"] for _, cost in read_costs(con)] == [1, 0, 2]
