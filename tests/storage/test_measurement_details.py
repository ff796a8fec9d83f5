"""Reasons are counted together where only numbers differ, of the rows that are asked for alone."""

from pathlib import Path

import pyarrow as pa

from storage.database import open_workspace, read_workspace
from storage.measurement_details import Detail, count_above_zero, count_members, read_details
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.workspace import Workspace

KEY = MeasureKey("token_counts", "m", "fingerprint", "template", {"version": 1})
ROWS = [
    ("a", "failed", "message 1 is wrong", ["reasoning"], 0),
    ("b", "failed", "message 12 is wrong", ["reasoning", "text"], 2),
    ("c", "failed", "other", [], 1),
    ("d", "truncated", "9 tokens", None, None),
    ("e", "ok", "", ["text"], 0),
    ("f", "failed", "other", ["text"], 3),
]


def test_details_members_and_numbers_of_the_rows_asked_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    names = ("example_id", "state", "detail", "unwritten", "unstopped")
    table = pa.Table.from_pylist(
        [{**dict(zip(names, row, strict=True)), "measure_key": KEY.measure_key} for row in ROWS]
    )
    path = f"token_counts/{KEY.measure_key}/x.parquet"
    workspace.measurements.write(path, table)
    with open_workspace(workspace) as con:
        add_measure(con, KEY)
        commit_shards(con, workspace, KEY, [(path, 1.0)])
    ids = ["e", "d", "c", "b", "a"]  # without f
    with read_workspace(workspace) as con:
        assert read_details(con, KEY, ids) == [
            Detail("failed", "message 1 is wrong", 2, "a"),
            Detail("failed", "other", 1, "c"),
            Detail("truncated", "9 tokens", 1, "d"),
        ]
        assert count_members(con, KEY, "unwritten", ids) == {"reasoning": 2, "text": 2}
        assert count_above_zero(con, KEY, "unstopped", ids) == 2
        assert read_details(con, KEY, []) == []
