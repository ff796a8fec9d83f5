"""Views of the measurement shards: one for each measure, and `measurements` over all of them.

A view lists the files that the `shards` table has; a file that is not listed there is not part of
the workspace. A view is defined anew when the workspace is opened and its files are others or
elsewhere: a workspace can be moved. Defining it reads the schema of each file, so a view that is
right already is left alone; the hash of its text is its comment.
"""

import os
from collections.abc import Sequence
from typing import ClassVar

import duckdb

from storage.conversations import content_hash
from storage.shard_files import is_url
from storage.workspace import Workspace

MEASURES = (
    "token_counts",
    "losses",
    "embeddings",
    "trajectories",
    "gradients",
    "samples",
    "judgements",
    "ratings",
    "turn_ratings",
    "tag_replies",
    "tags",
    "preferences",
    "context",
    "cappy",
    "language",
)

STATES = "example_id, measure_key, state, detail"


class LostMeasurementsError(FileNotFoundError):
    """Files of measurements are gone that the tables name."""

    exit_code: ClassVar[int] = 3


def define_views(con: duckdb.DuckDBPyConnection, workspace: Workspace, *, temporary: bool) -> None:
    """Define a view for each measure over its committed shards; empty where there are none.

    Raises:
        LostMeasurementsError: if a shard's file is not there.
    """
    listed = con.execute(
        "select measure, path from shards join measures using (measure_key) order by all"
    ).fetchall()
    comments = "select view_name, comment from duckdb_views() where not internal"
    known = dict(con.execute(comments).fetchall())
    kind = "temporary view" if temporary else "view"
    files = workspace.measurements
    require_files(workspace, [path for _, path in listed])
    names = {m: [path for name, path in listed if name == m] for m in MEASURES}
    texts = {m: select_shards([files.address(path) for path in names[m]]) for m in MEASURES}
    parts = [f"select '{measure}' as measure, {STATES} from {measure}" for measure in MEASURES]
    for name, text in {**texts, "measurements": " union all ".join(parts)}.items():
        digest = content_hash([text])
        if known.get(name) == digest:
            continue
        con.execute(f"create or replace {kind} {name} as {text}")
        con.execute(f"comment on view {name} is '{digest}'")


def require_files(workspace: Workspace, names: Sequence[str]) -> None:
    """Raise LostMeasurementsError if a file is gone; of a store that is seen when it is read."""
    files = workspace.measurements
    if is_url(files.root):
        return
    lost = [files.address(name) for name in names if not os.path.exists(files.address(name))]
    if lost:
        raise LostMeasurementsError(
            f"{len(lost)} files of measurements are gone, {lost[0]} among them. Put them back, or "
            f"let `sluice gc --lost -w {workspace.directory}` forget them: the next run measures "
            "their rows again"
        )


def select_shards(paths: list[str]) -> str:
    """SQL that reads the shards, or gives no row with the columns every measure has."""
    if not paths:
        columns = ", ".join(f"null::varchar as {name}" for name in STATES.split(", "))
        return f"select {columns} where false"
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"select * from read_parquet([{quoted}], union_by_name = true)"
