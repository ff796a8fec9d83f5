"""Why rows have no number of a measure, and how often a text stands in its lists: for messages."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.asked import asking_about
from storage.database import Connection
from storage.measurements import MeasureKey, relation_of_key
from storage.rows import fetch_counts

DETAILS = r"""
select state, min(detail), count(*) as rows, min(example_id)
from asked join {measure} using (example_id)
where measure_key = $measure_key and state <> 'ok'
group by state, regexp_replace(detail, '\d+', '0', 'g')
order by rows desc, 1, 2
"""

MEMBERS = """
select member, count(*) from (
    select unnest({column}) as member
    from asked join {measure} using (example_id) where measure_key = $measure_key
)
group by member order by member
"""

ABOVE_ZERO = """
select count(*) from asked join {measure} using (example_id)
where measure_key = $measure_key and {column} > 0
"""


@dataclass(frozen=True, slots=True)
class Detail:
    """Why some rows are in a state."""

    state: str
    detail: str
    """As the first of them by text has it."""
    rows: int
    example_id: str
    """One of them."""


def read_details(con: Connection, key: MeasureKey, ids: Sequence[str]) -> list[Detail]:
    """Why examples are in another state than "ok", the most frequent reason first.

    Details that differ by numbers alone are counted together.
    """
    query = DETAILS.format(measure=relation_of_key(con, key))
    with asking_about(con, ids):
        rows = con.execute(query, {"measure_key": key.measure_key}).fetchall()
    return [Detail(*row) for row in rows]


def count_members(
    con: Connection, key: MeasureKey, column: str, ids: Sequence[str]
) -> dict[str, int]:
    """Text → how many examples have it in a column of lists; sorted by text."""
    query = MEMBERS.format(column=column, measure=relation_of_key(con, key))
    with asking_about(con, ids):
        return fetch_counts(con, query, {"measure_key": key.measure_key})


def count_above_zero(con: Connection, key: MeasureKey, column: str, ids: Sequence[str]) -> int:
    """How many examples have a number above 0 in a column."""
    query = ABOVE_ZERO.format(column=column, measure=relation_of_key(con, key))
    with asking_about(con, ids):
        ((count,),) = con.execute(query, {"measure_key": key.measure_key}).fetchall()
    return int(count)
