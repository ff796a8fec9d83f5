"""Views of the measurement shards: one for each measure, and `measurements` over all of them.

A view lists the files that the `shards` table has; a file that is not listed there is not part of
the workspace. A view is defined anew when the workspace is opened and its files are others or
elsewhere: a workspace can be moved. Defining it reads the schema of each file, so a view that is
right already is left alone; the hash of its text is its comment.
"""

import os
from collections.abc import Mapping, Sequence
from typing import ClassVar

import duckdb
import pyarrow as pa

from storage.conversations import content_hash
from storage.shard_files import is_url
from storage.workspace import Workspace

STATES = "example_id, measure_key, state, detail"

OVER_ALL = "measurements"
"""The view over all measures."""

EMPTY = "empty "
"""Marks a view of a measure that has no shards."""

SQL_TYPES = {
    "string": "varchar",
    "bool": "boolean",
    "int64": "bigint",
    "halffloat": "float",
    "float": "float",
    "double": "double",
}
"""Arrow → DuckDB, which has no half floats and reads them as floats."""

MEASURED = "select distinct measure from shards join measures using (measure_key)"

LISTED = "select measure, path from shards join measures using (measure_key) order by all"

THERE = "select 1 from information_schema.tables where table_name = $measure"

VIEWS = """
select view_name, last(comment order by temporary) from duckdb_views()
where not internal and comment is not null group by view_name
"""


class LostMeasurementsError(FileNotFoundError):
    """Files of measurements are gone that the tables name."""

    exit_code: ClassVar[int] = 3


def declare_measures(
    con: duckdb.DuckDBPyConnection, columns: Mapping[str, Sequence[pa.Field]]
) -> None:
    """Give each measure that nothing is stored of yet an empty view with the columns it will have.

    Args:
        con: open for writing.
        columns: of each measure, beside those that all have.
    """
    stored = {name for (name,) in con.execute(MEASURED).fetchall()}
    known = read_views(con)
    for measure in sorted(set(columns) - stored):
        text = select_nothing(columns[measure])
        mark = mark_of(text, empty=True)
        if known.get(measure) != mark:
            create_view(con, measure, text, mark)
            known[measure] = mark
    create_view_over_all(con, known, temporary=False)


def define_views(con: duckdb.DuckDBPyConnection, workspace: Workspace, *, temporary: bool) -> None:
    """Define the view of each measure over its committed shards, where it is not so already.

    A measure without shards keeps the empty view it has; one whose shards are gone gets one.

    Raises:
        LostMeasurementsError: if a shard's file is not there.
        duckdb.Error: if one is no Parquet file any more.
    """
    listed = con.execute(LISTED).fetchall()
    files = workspace.measurements
    require_files(workspace, [path for _, path in listed])
    paths: dict[str, list[str]] = {}
    for measure, path in listed:
        paths.setdefault(measure, []).append(files.address(path))
    known = read_views(con)
    gone = {n for n, mark in known.items() if n != OVER_ALL and not mark.startswith(EMPTY)}
    for measure in sorted({*paths, *gone}):
        shards = paths.get(measure, [])
        text = select_shards(shards) if shards else select_nothing([])
        mark = mark_of(text, empty=not shards)
        if known.get(measure) != mark:
            create_view(con, measure, text, mark, temporary=temporary)
            known[measure] = mark
    create_view_over_all(con, known, temporary=temporary)


def create_view_over_all(
    con: duckdb.DuckDBPyConnection, known: Mapping[str, str], *, temporary: bool
) -> None:
    """Define the view over all measures, where it is not over these already."""
    parts = [
        f"select '{measure}' as measure, {STATES} from {measure}"
        for measure in sorted(set(known) - {OVER_ALL})
    ]
    nothing = f"select null::varchar as measure, {STATES} from ({select_nothing([])})"
    text = " union all ".join(parts) or nothing
    if known.get(OVER_ALL) != mark_of(text):
        create_view(con, OVER_ALL, text, mark_of(text), temporary=temporary)


def create_view(
    con: duckdb.DuckDBPyConnection, name: str, text: str, mark: str, *, temporary: bool = False
) -> None:
    """Define a view, and leave a mark on it by which it is known again."""
    con.execute(f"create or replace {'temporary ' if temporary else ''}view {name} as {text}")
    con.execute(f"comment on view {name} is '{mark}'")


def read_views(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Name → mark of the views that were made here; a temporary one stands for the kept one."""
    return dict(con.execute(VIEWS).fetchall())


def mark_of(text: str, *, empty: bool = False) -> str:
    """What marks a view with this text."""
    return f"{EMPTY if empty else ''}{content_hash([text])}"


def columns_of(con: duckdb.DuckDBPyConnection, measure: str) -> list[str]:
    """The columns that are stored of a measure; none where it has no view."""
    if not is_there(con, measure):
        return []
    columns: list[str] = (
        con.execute(f"select * from {measure} limit 0").to_arrow_table().column_names
    )
    return columns


def is_there(con: duckdb.DuckDBPyConnection, measure: str) -> bool:
    """Whether a measure has a view."""
    return bool(con.execute(THERE, {"measure": measure}).fetchall())


def relation_of(con: duckdb.DuckDBPyConnection, measure: str) -> str:
    """SQL that a query may read a measure from, though nothing was ever stored of it."""
    return (
        measure
        if con.execute(THERE, {"measure": measure}).fetchall()
        else f"({select_nothing([])})"
    )


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


def select_shards(paths: Sequence[str]) -> str:
    """SQL that reads the shards."""
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"select * from read_parquet([{quoted}], union_by_name = true)"


def select_nothing(columns: Sequence[pa.Field]) -> str:
    """SQL that gives no row, with the columns that all measures have and these."""
    every = [f"null::varchar as {name}" for name in STATES.split(", ")]
    own = [f"null::{sql_type(field.type)} as {field.name}" for field in columns]
    return f"select {', '.join([*every, *own])} where false"


def sql_type(kind: pa.DataType) -> str:
    """What DuckDB makes of a column of a shard.

    Raises:
        KeyError: for a type that no measure has had so far.
    """
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    return SQL_TYPES[str(kind)]
