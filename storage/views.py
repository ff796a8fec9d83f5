"""Views of the measurement shards: one for each measure, and `measurements` over all of them.

A view lists the files that the `shards` table has; a file that is not listed there is not part of
the workspace. The views are defined anew whenever a workspace is opened, so that it can be moved.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from storage.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

MEASURES = (
    "token_counts",
    "losses",
    "embeddings",
    "trajectories",
    "samples",
    "judgements",
    "ratings",
)

STATES = "example_id, measure_key, state, detail"


def define_views(
    con: "duckdb.DuckDBPyConnection", workspace: Workspace, *, temporary: bool
) -> None:
    """Define a view for each measure over its committed shards; empty where there are none."""
    listed = con.execute(
        "select measure, path from shards join measures using (measure_key) order by all"
    ).fetchall()
    kind = "temporary view" if temporary else "view"
    for measure in MEASURES:
        paths = [workspace.measurements / path for name, path in listed if name == measure]
        con.execute(f"create or replace {kind} {measure} as {select_shards(paths)}")
    parts = [f"select '{measure}' as measure, {STATES} from {measure}" for measure in MEASURES]
    con.execute(f"create or replace {kind} measurements as {' union all '.join(parts)}")


def select_shards(paths: list[Path]) -> str:
    """SQL that reads the shards, or gives no row with the columns every measure has."""
    if not paths:
        columns = ", ".join(f"null::varchar as {name}" for name in STATES.split(", "))
        return f"select {columns} where false"
    quoted = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"select * from read_parquet([{quoted}], union_by_name = true)"
