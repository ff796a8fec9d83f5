"""The chain from an exported row back to its source, link by link, as questions in SQL.

An export's rows are read once into the temporary table `exported`; what a reader of source files
found is in `broken_positions` and `source_states`. Rows are compared and hashed by DuckDB: an
example's hash is that of its canonical JSON, and most are stored so. The others, whose tools or
arguments have their keys in another order, are parsed and hashed here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from storage.conversations import Conversation, Turns
from storage.database import Connection, fetch_count
from storage.duckdb_instance import in_little_memory
from storage.long_rows import read_example_tables
from storage.rows import fetch_counts, fetch_texts, write_table
from storage.sources import Source

BATCH_ROWS = 1 << 11  # of whole rows, each of which may have tens of kilobytes

TABLES = (
    """create or replace temp table exported (
        split varchar, rank bigint, example_id varchar, own_hash varchar,
        prompt varchar, completion varchar, tools varchar, turn integer
    )""",
    """create or replace temp table wanted (
        source_id varchar, position bigint, example_id varchar
    )""",
    "create or replace temp table broken_positions (source_id varchar, position bigint)",
    "create or replace temp table source_states (source_id varchar, state varchar)",
)

CLEAR = "delete from exported"

LOAD = """
insert into exported
select split, rank, example_id, own_hash,
       if(own_hash = example_id, null, prompt),
       if(own_hash = example_id, null, completion),
       if(own_hash = example_id, null, tools), turn
from (
    select *, left(sha256(
        '{"messages":[' || prompt || ',' || completion || '],"tools":[' || tools || ']}'
    ), 32) as own_hash
    from (
        select $split as split, rank, split_part(example_id, '-', 1) as example_id,
               nullif(split_part(example_id, '-', 2), '')::integer as turn,
               array_to_string(prompt::varchar[], ',') as prompt,
               array_to_string(completion::varchar[], ',') as completion,
               coalesce(array_to_string(tools::varchar[], ','), '') as tools
        from read_parquet($paths::varchar[])
    )
)
"""

TO_COMPARE = """
select x.example_id, x.prompt, x.completion, x.tools, e.messages,
       coalesce(x.turn, e.response_at), e.tools
from exported x join {table} e using (example_id)
where own_hash <> x.example_id
"""

OUT_OF_PLACE = """
select x.example_id from exported x
left join selection_rows s on s.selection_id = $selection_id and s.rank = x.rank
where split = $split and s.example_id is distinct from x.example_id
order by x.rank
"""

NOT_EXPORTED = """
select s.example_id from selection_rows s
anti join (select rank from exported where split = $split) x using (rank)
where selection_id = $selection_id order by rank
"""

HELD_OUT = """
select selection_id from run_selections where run_id = $run_id and kind = 'held_out'
"""

NOT_STORED = """
select x.example_id from exported x anti join examples e using (example_id) order by 1
"""

NOT_CANONICAL = """
select example_id, messages, tools, trained_at is not null from {table}
semi join (select example_id from exported union select ancestor from origins) using (example_id)
where left(sha256(
    '{{"messages":' || messages || ',"tools":' || tools
    || if(trained_at is null, '}}', ',"turns":"all"}}')
), 32) <> example_id
"""

ANCESTORS = """
create or replace temp table ancestors as
with recursive up(example_id, ancestor) as (
    select distinct example_id, example_id from exported
    union
    select up.example_id, l.parent_id from up join lineage l on l.example_id = up.ancestor
    where not exists (
        select 1 from occurrences o join run_sources r using (source_id)
        where r.run_id = $run_id and o.example_id = up.ancestor
    )
)
select * from up
"""

ORIGINS = """
create or replace temp table origins as
select up.example_id, o.source_id, o.position, o.example_id as ancestor
from ancestors up join occurrences o on o.example_id = up.ancestor
join run_sources r on r.source_id = o.source_id and r.run_id = $run_id
"""

FROM_PASSAGES = """
create or replace temp table from_passages as
select distinct up.example_id
from ancestors up join passages p on p.passage_id = up.ancestor
join run_documents r on r.cut_id = p.cut_id and r.run_id = $run_id
"""

LACKING_TURNS = """
select x.example_id from exported x join examples e using (example_id)
left join selection_rows s
    on s.selection_id = $selection_id and s.rank = x.rank and s.example_id = x.example_id
    and split = 'train'
group by x.example_id
having list_sort(list(coalesce(x.turn, e.response_at)))
       is distinct from any_value(coalesce(s.turns, e.trained_at, [e.response_at]))
order by 1
"""

WITHOUT_ORIGIN = """
select x.example_id from exported x anti join origins using (example_id)
where x.example_id not in (select example_id from ancestors where ancestor = '')
  and x.example_id not in (select example_id from from_passages)
order by 1
"""

ADD_WANTED = "insert into wanted select distinct source_id, position, ancestor from origins"

WANTED_SOURCES = """
select source_id, path, format, shape, license, content_hash, bytes, turns, max_row_bytes, count(*)
from sources join (select distinct * from wanted) using (source_id)
group by all order by source_id
"""

WANTED_ROWS = """
select distinct position, example_id from wanted where source_id = $source_id order by position
"""

BROKEN_ROWS = """
select distinct example_id from origins semi join broken_positions using (source_id, position)
order by 1
"""

CLOSED_ROWS = """
select state, count(distinct example_id) from origins join source_states using (source_id)
group by state order by state
"""


NAMED = 5  # examples that are named of those that break a link


@dataclass(frozen=True, slots=True)
class Broken:
    """Examples that break a link."""

    count: int
    first: tuple[str, ...]  # the first few of them, by id or rank


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """An export as the tables have it."""

    path: str  # relative to the workspace
    selection_id: str


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """A file of measurements as the tables have it."""

    measure: str
    path: str
    rows: int
    sha256: str | None  # None where an older version committed it


def prepare_provenance(con: Connection) -> None:
    """Make the temporary tables."""
    for statement in TABLES:
        con.execute(statement)


def read_export_records(con: Connection) -> list[ExportRecord]:
    """All exports, by path."""
    rows = con.execute("select path, selection_id from exports order by path").fetchall()
    return [ExportRecord(*row) for row in rows]


def load_export(con: Connection, files: Mapping[str, Sequence[Path]], run_id: str) -> int:
    """Read the rows of an export, and where each comes from; return how many rows there are.

    Args:
        con: a workspace, after prepare_walk.
        files: the Parquet files of each split.
        run_id: the run whose sources or documents its rows must come from.
    """
    con.execute(CLEAR)  # of the export before; `wanted` goes on collecting from all of them
    for split, paths in files.items():
        if paths:
            con.execute(LOAD, {"split": split, "paths": [str(path) for path in paths]})
    con.execute(ANCESTORS, {"run_id": run_id})
    con.execute(ORIGINS, {"run_id": run_id})
    con.execute(FROM_PASSAGES, {"run_id": run_id})
    con.execute(ADD_WANTED)
    return fetch_count(con, "select count(*) from exported")


def rows_to_compare(con: Connection) -> Iterator[list[tuple[Any, ...]]]:
    """Exported rows that are not their example's canonical JSON word for word, in batches.

    Nothing else may be asked of the connection meanwhile. Each is its id; the exported prompt,
    completion and tools as JSON without brackets; the stored messages; the index of the turn that
    is trained; and the stored tools.
    """
    return _in_batches(con, TO_COMPARE)


def read_out_of_place(con: Connection, split: str, selection_id: str) -> Broken:
    """Rows of a split that are not those of its selection, rank for rank; and rows it lacks."""
    # A row moved to another rank is out of place; one at a rank that is not exported is lacking.
    key = {"split": split, "selection_id": selection_id}
    there, lacking = _broken(con, OUT_OF_PLACE, key), _broken(con, NOT_EXPORTED, key)
    return Broken(there.count + lacking.count, (*there.first, *lacking.first)[:NAMED])


def read_held_out(con: Connection, run_id: str) -> str | None:
    """The selection of a run's held-out rows."""
    return next(iter(fetch_texts(con, HELD_OUT, {"run_id": run_id})), None)


def read_lacking_turns(con: Connection, selection_id: str) -> Broken:
    """Exported examples that are not exported with each of their trained turns, and each once.

    Those are the ones that the selection trains; of held-out rows, all that can be.
    """
    return _broken(con, LACKING_TURNS, {"selection_id": selection_id})


def read_not_stored(con: Connection) -> Broken:
    """Exported rows that are no example of the workspace."""
    return _broken(con, NOT_STORED)


def read_otherwise_stored(con: Connection) -> Broken:
    """Exported examples whose stored messages and tools do not hash to their id."""
    otherwise = sorted(
        example_id
        for batch in _in_batches(con, NOT_CANONICAL)
        for row in batch
        if not _hashes_to(example_id := row[0], *row[1:])
    )
    return Broken(len(otherwise), tuple(otherwise[:NAMED]))


def read_without_origin(con: Connection) -> Broken:
    """Exported rows that are from no row of the run's sources, no passage, and not from nothing."""
    return _broken(con, WITHOUT_ORIGIN)


def wanted_sources(con: Connection) -> list[tuple[Source, int]]:
    """Sources that exported rows come from, and how many of their rows."""
    return [(Source(*row[:-1]), int(row[-1])) for row in con.execute(WANTED_SOURCES).fetchall()]


def wanted_rows(con: Connection, source_id: str) -> Iterator[tuple[int, str]]:
    """Position and example of each row of a source that exported rows come from, in order.

    Nothing else may be asked of the connection meanwhile.
    """
    found = con.execute(WANTED_ROWS, {"source_id": source_id})
    for batch in found.to_arrow_reader(BATCH_ROWS):
        yield from zip(batch["position"].to_pylist(), batch["example_id"].to_pylist(), strict=True)


def mark_positions(con: Connection, source_id: str, positions: Sequence[int]) -> None:
    """Remember rows of a source that do not read again to their examples."""
    broken = pa.table({"position": pa.array(positions, pa.int64())})
    query = "insert into broken_positions select $id, position from broken"
    write_table(con, "broken", broken, query, {"id": source_id})


def mark_source(con: Connection, source_id: str, state: str) -> None:
    """Remember that a source can not be read again as it was, and why."""
    con.execute("insert into source_states values ($id, $state)", {"id": source_id, "state": state})


def read_broken_rows(con: Connection) -> Broken:
    """Exported rows that a source no longer gives."""
    return _broken(con, BROKEN_ROWS)


def count_closed_rows(con: Connection) -> dict[str, int]:
    """Exported rows whose source can not be read again, by why."""
    return fetch_counts(con, CLOSED_ROWS)


def read_shard_records(con: Connection) -> list[ShardRecord]:
    """All files of measurements, by measure and path."""
    query = """
    select measure, path, rows, sha256 from shards join measures using (measure_key) order by all
    """
    return [ShardRecord(*row) for row in con.execute(query).fetchall()]


def _hashes_to(example_id: str, messages: str, tools: str, several_turns: bool) -> bool:
    turns: Turns = "all" if several_turns else "last"
    try:
        stored = Conversation(orjson.loads(messages), orjson.loads(tools), turns)
    except orjson.JSONDecodeError:
        return False
    return stored.example_id == example_id


def _in_batches(con: Connection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    """What a query finds in `table`, each table of examples by itself."""
    for table in read_example_tables(con):
        with in_little_memory(con):
            for batch in con.execute(query.format(table=table)).to_arrow_reader(BATCH_ROWS):
                yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _broken(con: Connection, query: str, parameters: dict[str, str] | None = None) -> Broken:
    rows = con.execute(
        f"with broken as ({query}) select example_id, (select count(*) from broken) from broken "
        f"limit {NAMED}",
        parameters or {},
    ).fetchall()
    return Broken(int(rows[0][1]) if rows else 0, tuple(str(row[0]) for row in rows))
