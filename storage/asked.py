"""Questions about examples by their ids: answered in the order in which they are asked.

The ids go to DuckDB as an Arrow table that queries join with: a million of them take a second,
where a list among a query's parameters takes five.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from storage.database import Connection


def number_ids(ids: Sequence[str]) -> pa.Table:
    """example_id and its place n among those given, from 0; an id may stand in several places."""
    n = pa.array(np.arange(len(ids)), pa.int64())
    # With types: Arrow would give a column of no ids the type null.
    return pa.table({"n": n, "example_id": pa.array(ids, pa.string())})


@contextmanager
def asking_about(con: Connection, ids: Sequence[str]) -> Iterator[None]:
    """Let queries join with `asked`, the table of these ids, while the block lasts."""
    con.register("asked", number_ids(ids))
    try:
        yield
    finally:
        con.unregister("asked")


def read_aligned(
    con: Connection, query: str, ids: Sequence[str], parameters: Mapping[str, object] | None = None
) -> pa.Table:
    """A row for each example, in the order of the ids; an id that is there twice has two rows.

    Args:
        con: an open workspace.
        query: SQL that joins with `asked` and ends where `order by` would follow.
        ids: (n,) example ids.
        parameters: the query's own.

    Raises:
        ValueError: if there is not one row for each.
    """
    with asking_about(con, ids):
        table = con.execute(f"{query} order by n", dict(parameters or {})).to_arrow_table()
    if len(table) != len(ids):  # a join dropped an id, or found two rows for one
        raise ValueError(f"{len(ids)} examples were asked for, {len(table)} found")
    return table
