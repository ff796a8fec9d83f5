"""Licences of examples: those of the sources and documents that they are from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from storage.asked import asking_about
from storage.database import Connection
from storage.documents import read_documents_of

UP = """
with recursive up(example_id, ancestor) as (
    select example_id, example_id from asked
    union
    select up.example_id, l.parent_id from up join lineage l on l.example_id = up.ancestor
    where not exists (
        select 1 from occurrences o
        where o.example_id = up.ancestor and o.source_id = any($source_ids)
    )
)
"""
"""Each example with what it was made from, up to what stands in one of the sources."""

READ = f"""{UP}
select distinct up.example_id, s.license
from up join occurrences o on o.example_id = up.ancestor
join sources s on s.source_id = o.source_id
where s.source_id = any($source_ids)
order by all
"""

# What stands in a source has that one's licence, whoever wrote it once.
OF_WRITERS = f"""{UP}
select distinct up.example_id, coalesce(l.settings ->> '$.license', 'unknown')
from up join lineage l on l.example_id = up.ancestor
where l.model <> '' and not exists (
    select 1 from occurrences o
    where o.example_id = up.ancestor and o.source_id = any($source_ids)
)
order by all
"""

OF_MODELS = """
select distinct model, settings ->> '$.license' as license
from asked join lineage using (example_id)
where settings ->> '$.license' is not null
order by all
"""


def read_model_licenses(con: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    """Model → licences of what it wrote among these examples, as the recipes stated them."""
    with asking_about(con, ids):
        rows = con.execute(OF_MODELS).fetchall()
    found: defaultdict[str, list[str]] = defaultdict(list)
    for model, name in rows:
        found[str(model)].append(str(name))
    return dict(found)


def read_licenses(
    con: Connection, ids: Sequence[str], source_ids: Sequence[str], run_id: str
) -> Mapping[str, Sequence[str]]:
    """example_id → licences of the sources that hold it, sorted.

    What is in none of the sources has the licences of what it was made from, rows of these sources
    and documents of the run; an example that comes from none of them is left out.
    """
    found = {each: {*names} for each, names in _read_by_example(con, READ, ids, source_ids).items()}
    for example_id, documents in read_documents_of(con, ids, run_id).items():
        found.setdefault(example_id, set()).update(each.license for each in documents)
    return {example_id: sorted(names) for example_id, names in found.items()}


def read_writers_licenses(
    con: Connection, ids: Sequence[str], source_ids: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    """example_id → licences of what the models wrote that made it, and what it was made from.

    `unknown` of a model whose licence nobody stated; an example that no model wrote is left out.
    """
    return _read_by_example(con, OF_WRITERS, ids, source_ids)


def _read_by_example(
    con: Connection, query: str, ids: Sequence[str], source_ids: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    with asking_about(con, ids):
        rows = con.execute(query, {"source_ids": list(source_ids)}).fetchall()
    found: defaultdict[str, list[str]] = defaultdict(list)  # distinct and sorted, by the query
    for example_id, name in rows:
        found[str(example_id)].append(str(name))
    return found
