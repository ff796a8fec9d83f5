"""Rows of which a model gave no answer: which they are, and how a later one takes their place."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from storage.conversations import content_hash
from storage.database import Connection, transaction
from storage.measurements import DROP_SHARD, MeasureKey, add_shard, read_shards
from storage.rows import fetch_texts
from storage.views import relation_of
from storage.workspace import Workspace

# A server that says that a prompt is too long may have a longer window by now.
FAILED_ROWS = """
select example_id, detail from {measure}
where measure_key = $measure_key
  and (state = 'failed' or (state = 'truncated' and contains(detail, 'context_length')))
order by example_id
"""

# What is made of a measure has the measure's key in its own settings.
FORGET_MADE_OF = """
delete from shards where measure_key in (
    select measure_key from measures
    where measure = any($measures::varchar[]) and contains(settings, $key)
) returning path
"""


class FailedRow(NamedTuple):
    """An example that a measure failed on."""

    example_id: str
    detail: str


def read_failed_rows(con: Connection, key: MeasureKey) -> list[FailedRow]:
    """Examples that failed under a key, sorted by id; those too long for a server among them."""
    query = FAILED_ROWS.format(measure=relation_of(con, key.measure))
    return [
        FailedRow(*row) for row in con.execute(query, {"measure_key": key.measure_key}).fetchall()
    ]


def replace_rows(
    con: Connection, workspace: Workspace, key: MeasureKey, shards: Sequence[tuple[str, float]]
) -> None:
    """Make finished shards part of the workspace, in place of what was stored of their examples.

    The old files are copied without these examples, and all is named in one transaction. A kill
    before it leaves everything as it was, one after it leaves files that nothing names.

    Args:
        con: an open workspace.
        workspace: the same workspace.
        key: what the shards measure.
        shards: name of each file below the workspace's measurements, and the seconds it took.
    """
    files = workspace.measurements
    ids = [files.read(path, ["example_id"])["example_id"] for path, _ in shards]
    again = pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string())
    old = {
        path: seconds
        for path, seconds in read_shards(con, key)
        if pc.any(pc.is_in(files.read(path, ["example_id"])["example_id"], again)).as_py()
    }
    mark = content_hash([path for path, _ in shards])[:16]
    folder = f"{key.measure}/{key.measure_key}"
    copies = {f"{folder}/{content_hash([path, mark])[:16]}.parquet": path for path in old}
    for copy, path in copies.items():
        files.concatenate([path], copy, without=again.combine_chunks())
    left = [(copy, old[path]) for copy, path in copies.items() if files.count_rows(copy)]
    with transaction(con):
        for path in old:
            con.execute(DROP_SHARD, {"measure_key": key.measure_key, "path": path})
        for path, seconds in [*left, *shards]:
            add_shard(con, workspace, key, path, seconds)
    named = {copy for copy, _ in left}
    for path in {*old, *copies} - named:  # once no table names them
        files.remove(path)


def forget_made_of(
    con: Connection, workspace: Workspace, key: MeasureKey, measures: Sequence[str]
) -> int:
    """Forget what some measures made of another, so that the next run makes it anew.

    Returns:
        How many files that was.
    """
    parameters = {"measures": list(measures), "key": key.measure_key}
    with transaction(con):
        paths = fetch_texts(con, FORGET_MADE_OF, parameters)
        # Before the commit: a file that is left when nothing names it would be taken for finished.
        for path in paths:
            workspace.measurements.remove(path)
    return len(paths)
