"""Long examples: kept in tables of their own, each of bounded size, and read with few others.

DuckDB reads 2,048 rows of a column at once, however long they are, and writes the rows of its last
row group anew whenever it tidies up. So rows of 15 MB each, in one table with all others, would
need gigabytes to be read and hours to be written. A part is a table that is small as a whole;
`examples` is a view over the short ones and every part.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from storage.asked import asking_about
from storage.database import Connection
from storage.duckdb_instance import in_little_memory
from storage.rows import as_table, fetch_counts, fetch_texts, write_table

SHORT_EXAMPLES = "short_examples"

LONG_BYTES = 2**15
"""Of messages: an example that has as many is long. 2,048 shorter ones have 64 MiB at most."""

PART_BYTES = 2**25
"""Of the messages of a part: the next row goes to another."""

LAST_PART = """
select part, sum(bytes)::bigint from long_rows group by part order by part desc limit 1
"""

FILL_PART = "insert into {part} select * from long_read"

ADD_LONG_ROWS = "insert into long_rows select example_id, $part, strlen(messages) from long_read"

PARTS_OF = """
select distinct part from long_rows where example_id = any($ids::varchar[]) order by part
"""

BYTES_OF = """
select coalesce(sum(bytes), 0)::bigint from long_rows where example_id = any($ids::varchar[])
"""

HELD_TIMES = 8
"""So many times its messages an example takes of DuckDB that is read whole, and sorted."""

BLOCK_BYTES = 2**24
"""Of the messages of examples that are held together: with all that Python makes of them, five
times as much."""

MEAN_BYTES = """
select avg(strlen(messages)) from asked join short_examples using (example_id)
"""

LONG_SIZES = "select example_id, bytes from long_rows"

UNKNOWN = """
select example_id from ids_read where example_id not in (select example_id from examples)
"""

Columns = Mapping[str, pa.DataType]


def part_name(part: int) -> str:
    """The table of a part."""
    return f"long_examples_{part}"


def read_example_tables(con: Connection) -> list[str]:
    """The tables that `examples` is a view over: to be asked one after another."""
    parts = con.execute("select distinct part from long_rows order by part").fetchall()
    return [SHORT_EXAMPLES, *(part_name(part) for (part,) in parts)]


def relation_with(con: Connection, ids: Sequence[str]) -> str:
    """SQL that reads these examples, and no part that has none of them."""
    parts = con.execute(PARTS_OF, {"ids": list(ids)}).fetchall() if has_long(con) else []
    return _union([SHORT_EXAMPLES, *(part_name(part) for (part,) in parts)])


def cut_blocks(con: Connection, ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in blocks, in their order, each of about BLOCK_BYTES of messages or of one row.

    To read a block is to look through all short examples: many small ones would take as long as
    the rows and the blocks together.
    """
    with asking_about(con, ids):
        ((mean,),) = con.execute(MEAN_BYTES).fetchall()
    usual = max(1, int(mean or 0))
    sizes = fetch_counts(con, LONG_SIZES) if has_long(con) else {}
    start, filled = 0, 0
    for place, example_id in enumerate(ids):
        filled += sizes.get(example_id, usual)
        if filled >= BLOCK_BYTES:
            yield ids[start : place + 1]
            start, filled = place + 1, 0
    if start < len(ids):
        yield ids[start:]


def has_long(con: Connection) -> bool:
    """Whether the workspace has long examples; few have."""
    return bool(con.execute("select 1 from long_rows limit 1").fetchall())


@contextmanager
def in_bounded_memory(con: Connection, ids: Sequence[str] = ()) -> Iterator[None]:
    """Have DuckDB keep little of what it reads, where there are long examples: else all of them.

    The examples `ids` are read whole and together.
    """
    if not has_long(con):
        yield
        return
    ((taken,),) = con.execute(BYTES_OF, {"ids": list(ids)}).fetchall()
    with in_little_memory(con, HELD_TIMES * int(taken)):
        yield


def _union(tables: Sequence[str]) -> str:
    return " union all ".join(f"select * from {table}" for table in tables)


def write_long_examples(con: Connection, columns: Columns, rows: Sequence[tuple[Any, ...]]) -> None:
    """Store long examples that the workspace does not have.

    Args:
        con: within a transaction.
        columns: of the tables, in their order; the first is the id, the third the messages.
        rows: no two with one id.
    """
    ids = as_table({"example_id": pa.string()}, rows)
    con.register("ids_read", ids)
    unknown = set(fetch_texts(con, UNKNOWN))
    con.unregister("ids_read")
    found = con.execute(LAST_PART).fetchall()
    part, filled = (int(found[0][0]), int(found[0][1])) if found else (0, PART_BYTES)
    for row in rows:
        if row[0] not in unknown:
            continue
        if filled >= PART_BYTES:
            part, filled = part + 1, 0
            add_part(con, part)
        filled += len(row[2])
        long_read = as_table(columns, [row])
        write_table(con, "long_read", long_read, FILL_PART.format(part=part_name(part)))
        write_table(con, "long_read", long_read, ADD_LONG_ROWS, {"part": part})


def add_part(con: Connection, part: int) -> None:
    """Make the table of a part, and let `examples` read it too."""
    con.execute(f"create table {part_name(part)} as from {SHORT_EXAMPLES} limit 0")
    tables = [SHORT_EXAMPLES, *(part_name(each) for each in range(1, part + 1))]
    con.execute(f"create or replace view examples as {_union(tables)}")
