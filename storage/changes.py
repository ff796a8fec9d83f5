"""What two runs of a workspace have apart: their sources, their examples, and what they chose."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from storage.database import Connection, QueryError

PREVIOUS = "select previous_run_id from runs where run_id = $run_id"

DESCRIBED = "select name, recipe, code_version, models from runs where run_id = $run_id"

POOL = """
select distinct example_id from occurrences
where source_id in (select source_id from run_sources where run_id = {run})
"""

MOVED_SOURCES = """
    before_sources as (select source_id from {table} where run_id = $before),
    after_sources as (select source_id from {table} where run_id = $after),
    moved as (
        select source_id, 'new{of}' as change
        from after_sources anti join before_sources using (source_id)
        union
        select source_id, 'gone{of}'
        from before_sources anti join after_sources using (source_id)
    )
"""

SOURCES = f"""
with {MOVED_SOURCES.format(table="run_sources", of="")},
    before_pool as ({POOL.format(run="$before")}),
    after_pool as ({POOL.format(run="$after")}),
    new_to_pool as (select example_id from after_pool anti join before_pool using (example_id)),
    gone_from_pool as (select example_id from before_pool anti join after_pool using (example_id)),
    counted as (
        select source_id,
            count(distinct n.example_id) as examples_new,
            count(distinct g.example_id) as examples_gone
        from moved join occurrences o using (source_id)
        left join new_to_pool n on n.example_id = o.example_id
        left join gone_from_pool g on g.example_id = o.example_id
        group by source_id
    )
select path, change, rows, coalesce(examples_new, 0), coalesce(examples_gone, 0)
from moved join sources using (source_id) left join counted using (source_id)
order by path, change desc, source_id
"""

TARGETS = f"""
with {MOVED_SOURCES.format(table="run_targets", of=" targets")}
select path, change, rows, 0, 0 from moved join sources using (source_id)
order by path, change desc, source_id
"""

DOCUMENTS = """
with
    before_cuts as (select path, cut_id from run_documents where run_id = $before),
    after_cuts as (select path, cut_id from run_documents where run_id = $after),
    moved as (
        select path, cut_id, 'new document' as change
        from after_cuts anti join before_cuts using (cut_id)
        union
        select path, cut_id, 'gone document'
        from before_cuts anti join after_cuts using (cut_id)
    )
select path, change, passages, 0, 0 from moved left join document_cuts using (cut_id)
order by path, change desc, cut_id
"""

POOL_COUNTS = f"""
with
    before_pool as ({POOL.format(run="$before")}),
    after_pool as ({POOL.format(run="$after")})
select
    (select count(*) from after_pool anti join before_pool using (example_id)),
    (select count(*) from before_pool anti join after_pool using (example_id)),
    (select count(*) from after_pool semi join before_pool using (example_id))
"""

EDITS = f"""
with
    before_pool as ({POOL.format(run="$before")}),
    after_pool as ({POOL.format(run="$after")}),
    stood as (
        select run_id, path, position, example_id, prompt_id
        from run_sources join sources using (source_id) join occurrences using (source_id)
            join examples using (example_id)
        where run_id in ($before, $after)
    ),
    gone as (select * from stood anti join after_pool using (example_id) where run_id = $before),
    new as (select * from stood anti join before_pool using (example_id) where run_id = $after),
    of_prompt as (
        select distinct on (n.example_id) g.example_id as was, n.example_id as is_now
        from new n join gone g using (path, prompt_id)
        order by n.example_id, abs(g.position - n.position), g.example_id
    ),
    of_place as (
        select distinct on (n.example_id) g.example_id as was, n.example_id as is_now
        from new n join gone g using (path, position)
        where n.example_id not in (select is_now from of_prompt)
            and g.example_id not in (select was from of_prompt)
        order by n.example_id, g.example_id
    )
from of_prompt union all from of_place order by is_now
"""
"""An edit leaves a row in its file with its prompt; where nothing has that, at its place there."""

CHOICE = """
select rank, example_id, turns from selection_rows where selection_id = (
    select selection_id from run_selections where run_id = {run} and kind = 'choice'
)
"""

MOVED = f"""
with
    before_choice as ({CHOICE.format(run="$before")}),
    after_choice as ({CHOICE.format(run="$after")}),
    moved as (
        select 'added' as change, rank, example_id, $before as other
        from after_choice anti join before_choice using (example_id)
        union
        select 'removed', rank, example_id, $after
        from before_choice anti join after_choice using (example_id)
    )
select m.change, m.rank, m.example_id, d.stage, c.label, d.reason, d.because_of, d.value
from moved m
left join decisions d
    on d.run_id = m.other and d.example_id = m.example_id and d.outcome = 'dropped'
left join stage_counts c on c.run_id = d.run_id and c.stage = d.stage and c.step = d.step
order by m.change, m.rank
"""

STAYED = f"""
select count(*), count(*) filter (b.turns is distinct from a.turns)
from ({CHOICE.format(run="$before")}) b join ({CHOICE.format(run="$after")}) a using (example_id)
"""


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A source that one of two runs has."""

    path: str
    change: str
    """`new` or `gone`; of what rows are compared with `new targets` or `gone targets`; of a file of
    text, in other words or cut otherwise, `new document` or `gone document`."""
    rows: int | None  # or passages; None where nothing could be read
    examples_new: int  # of its examples, those that only the later run has
    examples_gone: int  # of its examples, those that only the earlier run has


@dataclass(frozen=True, slots=True)
class PoolChange:
    """Examples of the sources of two runs."""

    new: int
    retired: int  # in a source of the earlier run and in none of the later one
    stayed: int


class Edit(NamedTuple):
    """A row of a file that has another content in the later run: two examples."""

    before: str
    after: str


class StayedRows(NamedTuple):
    """Examples that two selections have."""

    rows: int
    retrained: int  # those of which other turns are trained


@dataclass(frozen=True, slots=True)
class ChoiceChange:
    """An example that one of two selections has."""

    change: str  # `added` or `removed`
    rank: int  # in the selection that has it
    example_id: str
    stage: str | None  # where the other run dropped it; None where the other run never had it
    label: str | None
    reason: str | None
    because_of: str | None
    value: float | None
    edited: str | None = None
    """The example that its row in the source was before, or has become since, by an edit."""


@dataclass(frozen=True, slots=True)
class DescribedRun:
    """What a run was asked to do."""

    name: str
    recipe: dict[str, Any]
    code_version: str
    models: dict[str, str]


def find_previous(con: Connection, run_id: str) -> str | None:
    """The run of the same name that chose last before this one."""
    ((previous,),) = con.execute(PREVIOUS, {"run_id": run_id}).fetchall()
    return None if previous is None else str(previous)


def describe_run(con: Connection, run_id: str) -> DescribedRun:
    """The recipe of a run, and what it was run with.

    Raises:
        QueryError: if there is no such run.
    """
    rows = con.execute(DESCRIBED, {"run_id": run_id}).fetchall()
    if not rows:
        raise QueryError(f"no run {run_id!r} in this workspace")
    name, recipe, code, models = rows[0]
    return DescribedRun(str(name), orjson.loads(recipe), str(code), orjson.loads(models))


def read_source_changes(con: Connection, before: str, after: str) -> list[SourceChange]:
    """Sources that only one of the runs has, by path; then of its targets, and its documents."""
    runs = {"before": before, "after": after}
    rows = [
        row
        for query in (SOURCES, TARGETS, DOCUMENTS)
        for row in con.execute(query, runs).fetchall()
    ]
    return [SourceChange(*row) for row in rows]


def read_pool_change(con: Connection, before: str, after: str) -> PoolChange:
    """How many examples came, went and stayed."""
    (counts,) = con.execute(POOL_COUNTS, {"before": before, "after": after}).fetchall()
    return PoolChange(*counts)


def read_edits(con: Connection, before: str, after: str) -> list[Edit]:
    """Examples that are gone, each with the new one that its row has become; by the new one."""
    rows = con.execute(EDITS, {"before": before, "after": after}).fetchall()
    return [Edit(*row) for row in rows]


def read_choice_changes(con: Connection, before: str, after: str) -> list[ChoiceChange]:
    """Examples that only one of the selections has, added ones first, by rank."""
    rows = con.execute(MOVED, {"before": before, "after": after}).fetchall()
    return [ChoiceChange(*row) for row in rows]


def count_stayed(con: Connection, before: str, after: str) -> StayedRows:
    """Examples that both selections have."""
    (counts,) = con.execute(STAYED, {"before": before, "after": after}).fetchall()
    return StayedRows(*counts)
