"""What failed is found, and a later answer takes its place: whole, or not at all."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from storage import failed_rows
from storage.database import open_workspace, read_workspace
from storage.failed_rows import (
    FailedRow,
    forget_made_of,
    read_failed_rows,
    replace_rows,
)
from storage.measurements import MeasureKey, add_measure, commit_shards, read_shards
from storage.workspace import Workspace
from tests.empty_workspace import lay_out

KEY = MeasureKey("ratings", "m", "f", "", {})
OTHER = MeasureKey("ratings", "m", "another", "", {})
MADE_OF = MeasureKey("tags", "m", "f", "", {"replies": KEY.measure_key})

Row = tuple[str, str, str]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three files under one key, and one under another."""
    place = Workspace(tmp_path / "w")
    lay_out(place)
    first = [("a", "ok", ""), ("b", "failed", "http_500: status 500")]
    second = [("c", "failed", "timeout"), ("d", "failed", "no_logprobs: none")]
    third = [
        ("e", "truncated", "turn 1: context_length: status 400"),
        ("f", "truncated", "the question about it is too long for the judge"),
        ("g", "not_applicable", "the example has no response"),
    ]
    for name, key, rows in (
        ("1", KEY, first),
        ("2", KEY, second),
        ("3", KEY, third),
        ("1", OTHER, second),
        ("1", MADE_OF, first),
    ):
        store(place, key, name, rows)
    return place


def write(place: Workspace, key: MeasureKey, name: str, rows: Sequence[Row]) -> str:
    path = f"{key.measure}/{key.measure_key}/{name}.parquet"
    ids, states, details = zip(*rows, strict=True)
    columns = {"example_id": ids, "state": states, "detail": details}
    keys = {"measure_key": [key.measure_key] * len(ids)}
    place.measurements.write(
        path, pa.table({name: list(v) for name, v in (columns | keys).items()})
    )
    return path


def store(place: Workspace, key: MeasureKey, name: str, rows: Sequence[Row]) -> None:
    path = write(place, key, name, rows)
    with open_workspace(place) as con:
        add_measure(con, key)
        commit_shards(con, place, key, [(path, 1.0)])


def states(place: Workspace, key: MeasureKey = KEY) -> list[tuple[str, str]]:
    with read_workspace(place) as con:
        query = "select example_id, state from ratings where measure_key = $key order by all"
        return con.execute(query, {"key": key.measure_key}).fetchall()


BEFORE = [
    ("a", "ok"),
    ("b", "failed"),
    ("c", "failed"),
    ("d", "failed"),
    ("e", "truncated"),
    ("f", "truncated"),
    ("g", "not_applicable"),
]


def test_what_failed_is_found_and_what_was_too_long_for_a_server(workspace: Workspace) -> None:
    with read_workspace(workspace) as con:
        found = read_failed_rows(con, KEY)
        assert read_failed_rows(con, MeasureKey("losses", "m", "f", "", {})) == []
    assert found[0] == FailedRow("b", "http_500: status 500")
    assert [row.example_id for row in found] == ["b", "c", "d", "e"]


def test_new_rows_stand_in_the_place_of_old_ones_and_nowhere_else(workspace: Workspace) -> None:
    new = write(workspace, KEY, "new", [(i, "ok", "") for i in "bcd"])
    with open_workspace(workspace) as con:
        replace_rows(con, workspace, KEY, [(new, 2.0)])
        seconds = [seconds for _, seconds in read_shards(con, KEY)]
    fixed = {"b": "ok", "c": "ok", "d": "ok"}
    assert states(workspace) == [(i, fixed.get(i, state)) for i, state in BEFORE]
    assert states(workspace, OTHER) == [("c", "failed"), ("d", "failed")]
    # The file of which nothing was left is gone, and so are the old ones.
    assert sorted(seconds) == [1.0, 1.0, 2.0]
    folder = workspace.measurements.below(f"{KEY.measure}/{KEY.measure_key}")
    assert len(folder.names()) == 3


def test_a_second_time_the_rows_of_the_first_are_replaced(workspace: Workspace) -> None:
    for number, state in enumerate(("failed", "ok")):
        path = write(workspace, KEY, f"again-{number}", [("b", state, "x"), ("c", "ok", "")])
        with open_workspace(workspace) as con:
            replace_rows(con, workspace, KEY, [(path, 0.0)])
        assert states(workspace)[1:3] == [("b", state), ("c", "ok")]
    assert len(states(workspace)) == len(BEFORE)


def end_here(*given: object) -> None:
    raise RuntimeError("killed")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["DROP_SHARD", "add_shard"])
def test_a_kill_on_the_way_leaves_every_old_row(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    new = write(workspace, KEY, "new", [("b", "ok", "")])
    killed = (
        "select error('killed ' || $measure_key || $path)" if where == "DROP_SHARD" else end_here
    )
    monkeypatch.setattr(failed_rows, where, killed)
    with open_workspace(workspace) as con, pytest.raises(Exception, match="killed"):
        replace_rows(con, workspace, KEY, [(new, 0.0)])
    monkeypatch.undo()
    assert states(workspace) == BEFORE
    with open_workspace(workspace) as con:
        replace_rows(con, workspace, KEY, [(new, 0.0)])
    assert states(workspace)[1] == ("b", "ok")


def test_what_was_made_of_the_rows_is_forgotten_of_these_measures_alone(
    workspace: Workspace,
) -> None:
    with open_workspace(workspace) as con:
        assert forget_made_of(con, workspace, KEY, ["trajectories"]) == 0
        assert forget_made_of(con, workspace, KEY, ["tags"]) == 1
        assert workspace.measurements.below("tags").names() == []
        assert read_shards(con, MADE_OF) == [] and len(read_shards(con, KEY)) == 3
