"""Views of the measurement shards: one for each measure, and `measurements` over all of them.

A view lists the files that the `shards` table has; a file that is not listed there is not part of
the workspace. The views are defined anew whenever a workspace is opened, so that it can be moved.
"""

from pathlib import Path

import duckdb

from storage.workspace import Workspace

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


class LostMeasurementsError(FileNotFoundError):
    """Files of measurements are gone that the tables name."""


def define_views(con: duckdb.DuckDBPyConnection, workspace: Workspace, *, temporary: bool) -> None:
    """Define a view for each measure over its committed shards; empty where there are none.

    Raises:
        LostMeasurementsError: if a shard's file is not there.
    """
    listed = con.execute(
        "select measure, path from shards join measures using (measure_key) order by all"
    ).fetchall()
    kind = "temporary view" if temporary else "view"
    for measure in MEASURES:
        paths = [workspace.measurements / path for name, path in listed if name == measure]
        try:
            con.execute(f"create or replace {kind} {measure} as {select_shards(paths)}")
        except duckdb.IOException as error:
            lost = [path for path in paths if not path.exists()]
            if not lost:
                raise
            raise LostMeasurementsError(
                f"{len(lost)} files of {measure} are gone, {lost[0]} among them. Put them back, or "
                f"let `sluice gc --lost -w {workspace.directory}` forget them: the next run "
                "measures their rows again"
            ) from error
    parts = [f"select '{measure}' as measure, {STATES} from {measure}" for measure in MEASURES]
    con.execute(f"create or replace {kind} measurements as {' union all '.join(parts)}")


def select_shards(paths: list[Path]) -> str:
    """SQL that reads the shards, or gives no row with the columns every measure has."""
    if not paths:
        columns = ", ".join(f"null::varchar as {name}" for name in STATES.split(", "))
        return f"select {columns} where false"
    quoted = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"select * from read_parquet([{quoted}], union_by_name = true)"
