"""One hash of all that a workspace knows, for whoever has read it before: is there anything new?

It says nothing of texts, which are known by their hash and never change, nor of when runs were
started: a night on which nothing is new leaves it as it is.
"""

from storage.conversations import content_hash
from storage.database import Connection

NEVER_CHANGED = ("short_examples", "long_rows", "passages", "replies", "migrations")
"""Tables whose rows are known by their content, or that no page shows."""

TABLES = """
select table_name from duckdb_tables()
where database_name = current_database() and schema_name = 'main' and not temporary
order by table_name
"""

ROWS = "select count(*), coalesce(sum(hash(t)::hugeint), 0)::varchar from {table} t"
"""The same in any order of the rows, and not if a row is there twice."""

RUNS = "(select run_id, name, recipe, seed, code_version, models, previous_run_id from runs)"


def read_workspace_mark(con: Connection) -> str:
    """A hash that differs as soon as a row of a table does; a new table counts at once."""
    names = [str(name) for (name,) in con.execute(TABLES).fetchall()]
    told = [
        [name, *con.execute(ROWS.format(table=RUNS if name == "runs" else name)).fetchall()[0]]
        for name in names
        if name not in NEVER_CHANGED
    ]
    return content_hash(told)
