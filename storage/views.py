"""Views of the measurement shards: one for each measure, and `measurements` over all of them.

A view lists the files that the `shards` table has; a file that is not listed there is not part of
the workspace. A view is defined anew when the workspace is opened and its files are others or
elsewhere: a workspace can be moved. Defining it reads the schema of each file, so a view that is
right already is left alone; the hash of its text is its comment.
"""

from typing import TYPE_CHECKING

from storage.conversations import content_hash
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
    comments = "select view_name, comment from duckdb_views() where not internal"
    known = dict(con.execute(comments).fetchall())
    kind = "temporary view" if temporary else "view"
    files = workspace.measurements
    texts = {
        measure: select_shards([files.address(path) for name, path in listed if name == measure])
        for measure in MEASURES
    }
    parts = [f"select '{measure}' as measure, {STATES} from {measure}" for measure in MEASURES]
    for name, text in {**texts, "measurements": " union all ".join(parts)}.items():
        digest = content_hash([text])
        if known.get(name) == digest:
            continue
        con.execute(f"create or replace {kind} {name} as {text}")
        con.execute(f"comment on view {name} is '{digest}'")


def select_shards(paths: list[str]) -> str:
    """SQL that reads the shards, or gives no row with the columns every measure has."""
    if not paths:
        columns = ", ".join(f"null::varchar as {name}" for name in STATES.split(", "))
        return f"select {columns} where false"
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"select * from read_parquet([{quoted}], union_by_name = true)"
