"""When examples came into the workspace: with the first of their sources that was read whole."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from storage.database import Connection

Period = Literal["day", "week", "month"]

ARRIVED = """
with recursive
    read_from as (
        select o.example_id, min(coalesce(s.ingested_at, '1970-01-01')) as arrived
        from occurrences o join sources s using (source_id)
        where ($source is null or s.path glob $source) and source_id not in (
            select source_id from run_targets
            where source_id not in (select source_id from run_sources)
        )
        group by o.example_id
    ),
    passages_from as (
        select p.passage_id, min(runs.started_at) as arrived
        from passages p join run_documents d using (cut_id) join runs using (run_id)
        where $source is null or d.path glob $source
        group by p.passage_id
    ),
    descended(example_id, arrived) as (
        from read_from
        union
        from passages_from
        union
        select l.example_id, d.arrived from lineage l join descended d on d.example_id = l.parent_id
        where l.example_id not in (select example_id from read_from)
    ),
    arrivals as (
        select example_id, min(arrived) as arrived from descended
        where example_id in (select example_id from examples)
        group by example_id
    )
select date_trunc($period, arrived)::date as first_day, example_id
from arrivals
where ($since is null or arrived::date >= $since) and ($until is null or arrived::date <= $until)
order by first_day, example_id
"""


@dataclass(frozen=True, slots=True)
class Window:
    """Examples by the time they arrived, and by where from."""

    since: date | None = None
    """The first day, UTC; None: from the beginning. What a version before 0.2 read came in 1970."""
    until: date | None = None  # the last day, UTC; None: until now
    source: str | None = None
    """A pattern for the paths of sources as the workspace stores them; None: all."""
    period: Period = "day"  # how long a partition is


def read_arrivals(con: Connection, window: Window) -> dict[date, list[str]]:
    """First day of each partition that has examples → their ids, sorted.

    What was made comes with what it was made from: a row, or a passage, which came with the first
    run that had it. What runs only compared with
    is left out.
    """
    parameters = {
        "since": window.since,
        "until": window.until,
        "source": window.source,
        "period": window.period,
    }
    partitions: dict[date, list[str]] = {}
    for first_day, example_id in con.execute(ARRIVED, parameters).fetchall():
        partitions.setdefault(first_day, []).append(str(example_id))
    return partitions
