"""The `sources`, `occurrences` and `quarantine` tables: what was read, from where, as what."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from storage.arriving_rows import QuarantinedRow, ReadRow, write_examples, write_rows
from storage.conversations import Turns
from storage.database import Connection, fetch_count, transaction
from storage.rows import fetch_counts, fetch_texts

__all__ = [
    "ListedRow",
    "QuarantinedRow",
    "ReadRow",
    "Source",
    "add_source",
    "complete_source",
    "count_occurrences",
    "count_quarantine",
    "count_rejected",
    "forget_rows",
    "list_quarantine",
    "read_source_ids",
    "read_source_paths",
    "write_examples",
    "write_rows",
]

SOURCE_PATHS = """
select source_id, path from sources where source_id = any($source_ids) order by source_id
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is about to be read."""

    source_id: str
    path: str
    format: str | None
    shape: str | None
    license: str
    content_hash: str
    bytes: int
    turns: Turns = "last"
    max_row_bytes: int | None = None  # None: as many as are parsed where nothing is said


ADD_SOURCE = """
insert into sources
    (source_id, path, format, shape, license, content_hash, bytes, turns, max_row_bytes)
values
    ($source_id, $path, $format, $shape, $license, $content_hash, $bytes, $turns, $max_row_bytes)
on conflict (source_id) do update set license = excluded.license
"""

IS_COMPLETE = "select count(*) from sources where source_id = $source_id and complete"

FORGET_OCCURRENCES = "delete from occurrences where source_id = $source_id"

FORGET_QUARANTINE = "delete from quarantine where source_id = $source_id"

COMPLETE = """
update sources set complete = true, rows = $rows, ingested_at = now() where source_id = $source_id
"""

COUNT_SOURCE = """
select count(*) filter (read), count(*) filter (not read), count(distinct position)
from (
    select position, true as read from occurrences
    where source_id = $source_id and not rejected
    union all
    select position, false from quarantine where source_id = $source_id
)
"""

QUARANTINE_REASONS = """
select reason, count(*) from quarantine where source_id = any($source_ids)
group by reason order by reason
"""

COUNT_OCCURRENCES = """
select count(*) from occurrences where source_id = any($source_ids) and rejected = $rejected
"""

READ_SOURCE_IDS = "select source_id from sources order by source_id"

READ_QUARANTINE = """
select path, position, reason, detail from quarantine join sources using (source_id)
where source_id = any($source_ids) order by path, position
"""


def add_source(con: Connection, source: Source) -> bool:
    """Record a source; return whether all its rows were read already.

    What a reading that was cut short has left of its rows is forgotten: it is read from its start.
    """
    named: dict[str, object] = {"source_id": source.source_id}
    with transaction(con):
        con.execute(ADD_SOURCE, asdict(source))
        complete = fetch_count(con, IS_COMPLETE, named) > 0
        if not complete:
            forget_rows(con, source.source_id)
    return complete


def forget_rows(con: Connection, source_id: str) -> None:
    """Remove what is stored of the rows of a source; its examples stay, and are in no pool."""
    named = {"source_id": source_id}
    con.execute(FORGET_OCCURRENCES, named)
    con.execute(FORGET_QUARANTINE, named)


def complete_source(con: Connection, source_id: str, rows: int) -> None:
    """Record that all rows were read.

    Raises:
        ValueError: if rows read differ from rows stored, which would mean that rows were lost, or
            two stand in one place.
    """
    (counts,) = con.execute(COUNT_SOURCE, {"source_id": source_id}).fetchall()
    read, quarantined, places = map(int, counts)
    if not read + quarantined == places == rows:
        raise ValueError(
            f"source {source_id}: {rows} rows were read, but {read} are stored and {quarantined} "
            f"quarantined, in {places} places; nothing was marked complete"
        )
    con.execute(COMPLETE, {"source_id": source_id, "rows": rows})


def count_occurrences(con: Connection, source_ids: Sequence[str]) -> int:
    """Rows of these sources that became conversations."""
    named = {"source_ids": list(source_ids), "rejected": False}
    return fetch_count(con, COUNT_OCCURRENCES, named)


def count_rejected(con: Connection, source_ids: Sequence[str]) -> int:
    """Of those rows, how many are pairs: each has a rejected answer besides."""
    named = {"source_ids": list(source_ids), "rejected": True}
    return fetch_count(con, COUNT_OCCURRENCES, named)


def count_quarantine(con: Connection, source_ids: Sequence[str]) -> dict[str, int]:
    """Rows of these sources that could not be read, by reason."""
    return fetch_counts(con, QUARANTINE_REASONS, {"source_ids": list(source_ids)})


def read_source_ids(con: Connection) -> list[str]:
    """Every source of the workspace."""
    return fetch_texts(con, READ_SOURCE_IDS)


class ListedRow(NamedTuple):
    """A row that could not be read."""

    path: str
    position: int
    reason: str
    detail: str


def list_quarantine(con: Connection, source_ids: Sequence[str]) -> list[ListedRow]:
    """Each row that could not be read."""
    rows = con.execute(READ_QUARANTINE, {"source_ids": list(source_ids)}).fetchall()
    return [ListedRow(*row) for row in rows]


def read_source_paths(con: Connection, source_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Id and path of sources, in the order of the ids."""
    rows = con.execute(SOURCE_PATHS, {"source_ids": list(source_ids)}).fetchall()
    return [(str(source_id), str(path)) for source_id, path in rows]
