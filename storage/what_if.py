"""What a run stored, read back so that its selection can be made again in another way."""

from collections.abc import Sequence

import pyarrow as pa

from storage.changes import ChoiceChange
from storage.database import Connection, fetch_count
from storage.rows import TEXT, as_table, fetch_texts
from storage.scores import ScoreKey

LAST_CHOICE = """
select run_id from runs
where name = $name and run_id in (select run_id from run_selections where kind = 'choice')
order by started_at desc, run_id limit 1
"""

GIVEN = """
with steps as (
    select stage, step, 1000 * list_position(
        ['ingest', 'generate', 'clean', 'indicate', 'dedupe', 'check', 'select', 'export'], stage
    ) + step as place
    from stage_counts where run_id = $run_id
),
asked as (select place from steps where stage = 'select' and step = $step),
told as (
    select example_id, outcome, place from outcomes join steps using (stage, step)
    where run_id = $run_id and place < (select place from asked)
),
entered as (
    select example_id, 0 as place from occurrences
    where source_id in (select source_id from run_sources where run_id = $run_id)
    union all
    select example_id, place from told where outcome = 'added'
)
select example_id from entered e
where exists (from asked) and not exists (
    from told d where d.outcome = 'dropped' and d.example_id = e.example_id and d.place >= e.place
)
group by example_id order by example_id
"""
"""What `decisions` says of the step. The view finds out of every step what it kept; here it is one,
of a million examples at times, in half the time."""

HAS_SCORE = """
select count(*) from (
    select 1 from scores where scorer = $scorer and version = $version and settings = $settings
    limit 1
)
"""

WHY_OUT = """
select e.rank, e.example_id, d.stage, c.label, d.reason, d.because_of, d.value
from came e
left join decisions d
    on d.run_id = $run_id and d.example_id = e.example_id and d.outcome = 'dropped'
left join stage_counts c on c.run_id = d.run_id and c.stage = d.stage and c.step = d.step
order by e.rank
"""


def find_last_choice(con: Connection, name: str) -> str | None:
    """The last run of a recipe, by its name, that made a selection."""
    return next(iter(fetch_texts(con, LAST_CHOICE, {"name": name})), None)


def read_given(con: Connection, run_id: str, step: int) -> list[str]:
    """The examples that a step of a run's selection was given, sorted by id."""
    con.execute(GIVEN, {"run_id": run_id, "step": step})
    # By Arrow: a step may be given a million, and one tuple for each takes seconds.
    ids: list[str] = con.to_arrow_table()["example_id"].to_numpy().tolist()
    return ids


def has_score(con: Connection, key: ScoreKey) -> bool:
    """Whether any example has a score under this key."""
    return fetch_count(con, HAS_SCORE, key._asdict()) > 0


def read_why_out(
    con: Connection, run_id: str, came: Sequence[tuple[int, str]]
) -> list[ChoiceChange]:
    """Examples that come in, with where and why the run had dropped each.

    Args:
        con: an open workspace.
        run_id: the run that did not choose them.
        came: rank and example id of each.
    """
    table = as_table({"rank": pa.int64(), "example_id": TEXT}, came)
    con.register("came", table)
    rows = con.execute(WHY_OUT, {"run_id": run_id}).fetchall()
    con.unregister("came")
    return [ChoiceChange("added", *row) for row in rows]
