"""The `examples` and `lineage` tables: conversations by content hash, and what made them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson
import pyarrow as pa

from storage.asked import asking_about, read_aligned
from storage.conversations import Conversation, Turns
from storage.database import Connection, QueryError, transaction
from storage.duckdb_instance import in_little_memory
from storage.lineage import EDITED, EDITS, HELD
from storage.long_rows import in_bounded_memory, read_example_tables, relation_with
from storage.rows import fetch_counts, fetch_texts, write_table
from storage.sources import write_examples

READ_POOL = """
select distinct example_id from occurrences where source_id = any($source_ids)
order by example_id
"""

READ_UNREJECTED = """
select distinct example_id from occurrences where source_id = any($source_ids) and not rejected
order by example_id
"""

READ_PAIRS = """
select distinct example_id, source_id from occurrences
where source_id = any($source_ids) and not rejected
order by all
"""

TRAINED_AT = """
case when response_at is null then []::integer[] else coalesce(trained_at, [response_at]) end
"""
"""Indices of the trained turns, as SQL; none of a prompt only."""

READ_ROWS_OF = f"""
select example_id, prompt_id, messages, tools, response_at, prompt, response,
       {TRAINED_AT} as trained_at
from asked join {{table}} using (example_id)
"""

READ_MESSAGES_OF = "select example_id, messages from asked join {table} using (example_id)"

READ_TRAINED_AT = f"select {TRAINED_AT} as trained_at from asked join examples using (example_id)"

READ_RESPONSES = """
select example_id, length(response)
from asked join examples using (example_id)
where response_at is not null
"""

READ_SOURCE = f"""
select example_id, source_id, path, license, position
from (
    select *, row_number() over (
        partition by example_id order by edits, source_id, position
    ) as occurrence
    from ({HELD})
    where source_id = any($source_ids)
)
join sources using (source_id)
join asked using (example_id)
where occurrence = 1
"""

READ_ORIGINS = f"""
select example_id, any_value(source_id), arg_min(prompt_id, (-edits, prompt_id))
from (
    select example_id, example_id as root, 0 as edits from examples
    union all
    select example_id, root, edits from ({EDITED})
)
join asked using (example_id)
join (select example_id as root, prompt_id from examples) using (root)
left join (
    select example_id, min(source_id) as source_id from ({HELD}) group by example_id
) using (example_id)
group by example_id
"""

READ_IDS = "select example_id from examples order by example_id"

COUNT_COPIES = """
select example_id, count(*) from occurrences
where example_id = any($ids::varchar[]) and source_id = any($source_ids)
group by example_id
"""

FIND = "select example_id from examples where starts_with(example_id, $start) order by example_id"

WRITE_ATTEMPTS = "insert or replace into generation_attempts select * from attempted"

WRITE_LINEAGE = "insert into lineage select * from made on conflict do nothing"

ATTEMPTED = """
select distinct parent_id from generation_attempts
where generation_key = $key and parent_id = any($ids::varchar[])
"""

READ_MAKERS = f"""
select example_id, min(model) from (
    select example_id, model from lineage where method not in {EDITS}
    union
    select e.example_id, l.model from ({EDITED}) e join lineage l on l.example_id = e.root
    where l.method not in {EDITS}
)
where example_id = any($ids::varchar[])
group by example_id
"""

READ_MADE_OF = """
select distinct example_id, parent_id from generation_attempts
where generation_key = $key and parent_id = any($ids::varchar[]) and example_id is not null
order by all
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A stored example."""

    example_id: str
    prompt_id: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    response_at: int | None
    """Index of the last trained turn."""
    prompt: str
    """As plain text: what stands before the first trained turn."""
    response: str
    """As plain text: the trained turns, joined by a blank line."""
    trained_at: Sequence[int] = ()
    """Indices of the trained turns; none of a prompt only."""

    @property
    def conversation(self) -> Conversation:
        """The conversation alone."""
        turns: Turns = "all" if len(self.trained_at) > 1 else "last"
        return Conversation(self.messages, self.tools, turns)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer asked of a generator for one parent."""

    parent_id: str
    attempt: int
    conversation: Conversation | None
    """The parent's prompt with the new answer; None where the generator failed."""
    detail: str
    method: str = "answer"  # what the lineage says of it
    other_parents: Sequence[str] = ()
    rejected_for: str = ""
    """The better answer, of a rejected one: its one parent in the lineage."""


def read_pool(con: Connection, source_ids: Sequence[str]) -> list[str]:
    """Distinct examples of these sources, sorted by id."""
    return fetch_texts(con, READ_POOL, {"source_ids": list(source_ids)})


def read_unrejected(con: Connection, source_ids: Sequence[str]) -> list[str]:
    """The pool of these sources without what is nothing but the rejected answer of a pair."""
    return fetch_texts(con, READ_UNREJECTED, {"source_ids": list(source_ids)})


def read_pairs(con: Connection, source_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Each distinct example of these sources with each of the sources it stands in, sorted.

    What is nothing but the rejected answer of a pair there is not among them.
    """
    rows = con.execute(READ_PAIRS, {"source_ids": list(source_ids)}).fetchall()
    return [(str(example_id), str(source_id)) for example_id, source_id in rows]


def read_examples(con: Connection, ids: Sequence[str]) -> list[Example]:
    """The examples with these ids, in the order of the ids.

    Raises:
        ValueError: if one is not in the workspace.
    """
    return list(map(as_example, read_example_table(con, ids).to_pylist()))


def stream_examples(con: Connection, ids: Sequence[str], rows: int) -> Iterator[list[Example]]:
    """The examples with these ids in no particular order, about so many at a time.

    They are read once, however many there are, and long ones with few others. Nothing else may be
    asked of the connection meanwhile.

    Raises:
        ValueError: if one is not in the workspace.
    """
    for batch in _stream_columns(con, READ_ROWS_OF, ids, rows):
        yield list(map(as_example, batch.to_pylist()))


def stream_messages(
    con: Connection, ids: Sequence[str], rows: int
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Each example's messages by its id, and nothing else of it; else like `stream_examples`.

    Raises:
        ValueError: if one is not in the workspace.
    """
    for batch in _stream_columns(con, READ_MESSAGES_OF, ids, rows):
        names, messages = (batch[place].to_pylist() for place in range(2))
        yield dict(zip(names, map(orjson.loads, messages), strict=True))


def _stream_columns(
    con: Connection, query: str, ids: Sequence[str], rows: int
) -> Iterator[pa.RecordBatch]:
    """Columns of the examples with these ids, a batch of about so many at a time."""
    found = 0
    tables = read_example_tables(con)
    with asking_about(con, ids), in_little_memory(con):
        for table in tables:
            for batch in con.execute(query.format(table=table)).to_arrow_reader(rows):
                found += batch.num_rows
                yield batch
    if found != len(ids):
        raise ValueError(f"{len(ids)} examples were asked for, {found} found")


def as_example(row: dict[str, Any]) -> Example:
    """A stored row, its JSON parsed."""
    parsed = {name: orjson.loads(row[name]) for name in ("messages", "tools")}
    return Example(**(row | parsed))


def read_example_table(con: Connection, ids: Sequence[str]) -> pa.Table:
    """The same as Arrow columns: what a measuring task needs."""
    table = f"({relation_with(con, ids)})"
    with in_bounded_memory(con, ids):
        return read_aligned(con, READ_ROWS_OF.format(table=table), ids)


def read_trained_at(con: Connection, ids: Sequence[str]) -> list[list[int]]:
    """Indices of the trained turns of examples among their messages, in the order of the ids."""
    found: list[list[int]] = read_aligned(con, READ_TRAINED_AT, ids)["trained_at"].to_pylist()
    return found


def read_response_lengths(con: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Characters of the response of each example that has one."""
    with asking_about(con, ids):
        return fetch_counts(con, READ_RESPONSES)


class FirstSource(NamedTuple):
    """Where an example stands first."""

    source_id: str
    path: str
    license: str
    position: int


def read_first_sources(
    con: Connection, ids: Sequence[str], source_ids: Sequence[str]
) -> dict[str, FirstSource]:
    """example_id → its first occurrence here.

    That of one that was made by an edit is its parent's, where it has none of its own.
    """
    with asking_about(con, ids):
        rows = con.execute(READ_SOURCE, {"source_ids": list(source_ids)}).fetchall()
    return {str(row[0]): FirstSource(*row[1:]) for row in rows}


def read_origins(con: Connection, ids: Sequence[str]) -> dict[str, tuple[str | None, str]]:
    """example_id → its first source by id and the prompt it came with, before it was edited.

    The source is None for an answer that was generated, edited since or not. Of an example that
    was made from several, the prompt is the lowest id.
    """
    with asking_about(con, ids):
        rows = con.execute(READ_ORIGINS).fetchall()
    return {str(row[0]): (row[1], str(row[2])) for row in rows}


def read_all_ids(con: Connection) -> list[str]:
    """Every example of the workspace, sorted by id."""
    return fetch_texts(con, READ_IDS)


def count_copies(con: Connection, ids: Sequence[str], source_ids: Sequence[str]) -> dict[str, int]:
    """How many rows of these sources each example is; one that none holds is left out."""
    return fetch_counts(con, COUNT_COPIES, {"ids": list(ids), "source_ids": list(source_ids)})


def find_example(con: Connection, start: str) -> str:
    """The one example whose id starts so.

    Raises:
        QueryError: if there is none, or more than one.
    """
    found = find_examples(con, start)
    if len(found) == 1:
        return found[0]
    if not found:
        raise QueryError(f"no example has an id that starts with {start!r}")
    raise QueryError(f"{len(found)} examples have ids that start with {start!r}: give more digits")


def find_examples(con: Connection, start: str) -> list[str]:
    """Ids of examples that start so."""
    return fetch_texts(con, FIND, {"start": start})


def read_attempted(con: Connection, generation_key: str, parents: Sequence[str]) -> set[str]:
    """Those of the parents that were asked for already."""
    return set(fetch_texts(con, ATTEMPTED, {"key": generation_key, "ids": list(parents)}))


def read_made_of(
    con: Connection, generation_key: str, parents: Sequence[str]
) -> list[tuple[str, str]]:
    """Each example made under this key with each of these parents it was made from, sorted."""
    asked = {"key": generation_key, "ids": list(parents)}
    rows = con.execute(READ_MADE_OF, asked).fetchall()
    return [(str(example_id), str(parent_id)) for example_id, parent_id in rows]


def read_makers(con: Connection, ids: Sequence[str]) -> dict[str, str]:
    """example_id → the model that made it, of those that were generated, edited or not."""
    rows = con.execute(READ_MAKERS, {"ids": list(ids)}).fetchall()
    return {str(example_id): str(model) for example_id, model in rows}


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What made an example of another."""

    key: str
    """Of the settings."""
    settings: str
    """As JSON."""
    run_id: str
    model: str = ""
    """"" where no model was asked."""


def write_edited(
    con: Connection,
    method: Literal["redacted", "indicated"],
    edited: Sequence[tuple[str, Conversation]],
    made_by: MadeBy,
) -> list[str]:
    """Store edited examples with their lineage; return their ids in the same order.

    Args:
        con: an open workspace.
        method: what was done to them.
        edited: the parent of each, and the conversation as it is now.
        made_by: the settings and the run.
    """
    with transaction(con):
        ids = write_examples(con, [conversation for _, conversation in edited], method)
        _write_lineage(con, ids, [parent for parent, _ in edited], [method] * len(ids), made_by)
    return ids


def _write_lineage(
    con: Connection,
    ids: Sequence[str],
    parents: Sequence[str],
    methods: Sequence[str],
    made_by: MadeBy,
) -> None:
    n = len(ids)
    # With a type for each: of no examples they would be null, which DuckDB reads as integers.
    columns = {
        "example_id": ids,
        "parent_id": parents,
        "method": methods,
        "generation_key": [made_by.key] * n,
        "model": [made_by.model] * n,
        "settings": [made_by.settings] * n,
        "run_id": [made_by.run_id] * n,
    }
    made = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    write_table(con, "made", made, WRITE_LINEAGE)


def _born(
    answered: Sequence[Attempt], ids: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Examples, their parents and what made them, as the columns of their lineage.

    What a maker left as it was is not its own parent; an answer is, for it is judged as an answer.
    """
    born = [
        (example_id, parent, a.method)
        for a, example_id in zip(answered, ids, strict=True)
        for parent in ([a.rejected_for] if a.rejected_for else (a.parent_id, *a.other_parents))
        if parent != example_id or a.method == "answer"
    ]
    return [e for e, _, _ in born], [p for _, p, _ in born], [m for _, _, m in born]


def write_attempts(con: Connection, attempts: Sequence[Attempt], made_by: MadeBy) -> None:
    """Store answers as examples with their lineage, and failures as failures, together.

    Args:
        con: an open workspace.
        attempts: what was asked, with its answer or without.
        made_by: the settings, the model and the run.
    """
    answered = [a for a in attempts if a.conversation is not None]
    with transaction(con):
        ids = write_examples(con, [a.conversation for a in answered if a.conversation], "generated")
        _write_lineage(con, *_born(answered, ids), made_by)
        by_attempt = {(a.parent_id, a.attempt): i for a, i in zip(answered, ids, strict=True)}
        attempted = pa.table(
            {
                "parent_id": pa.array([a.parent_id for a in attempts], pa.string()),
                "generation_key": [made_by.key] * len(attempts),
                "attempt": pa.array([a.attempt for a in attempts], pa.int32()),
                "state": ["failed" if a.conversation is None else "ok" for a in attempts],
                "detail": [a.detail for a in attempts],
                "example_id": pa.array(
                    [by_attempt.get((a.parent_id, a.attempt)) for a in attempts], pa.string()
                ),
            }
        )
        write_table(con, "attempted", attempted, WRITE_ATTEMPTS)
