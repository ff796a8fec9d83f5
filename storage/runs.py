"""The tables `runs`, `run_sources`, `run_targets`, `stage_counts`: what runs did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from storage.database import Connection, QueryError, fetch_count, transaction
from storage.decisions import Decisions, write_decisions
from storage.rows import fetch_texts

STAGE_ORDER = ("ingest", "generate", "clean", "indicate", "dedupe", "check", "select", "export")

STARTS = "greatest(now(), (select max(started_at) + interval 1 microsecond from runs))"
"""Later than every other start: a clock that goes back does not put a run before an older one."""

START_RUN = f"""
insert into runs (
    run_id, name, recipe, seed, code_version, models, started_at, finished_at, executions,
    previous_run_id
)
values (
    $run_id, $name, $recipe, $seed, $code_version, $models, {STARTS}, null, 1, $previous_run_id
)
on conflict (run_id) do update set
    started_at = excluded.started_at, finished_at = null, executions = runs.executions + 1,
    previous_run_id = coalesce($previous_run_id, runs.previous_run_id)
"""

PREVIOUS_RUN = """
select run_id from runs
where name = $name and run_id <> $run_id
  and run_id in (select run_id from run_selections where kind = 'choice')
  and started_at >= coalesce((select started_at from runs where run_id = $run_id), '-infinity')
order by started_at desc, run_id limit 1
"""
"""Of a run that goes on after a kill there is none: what came before it, it knows already."""

FINISH_RUN = """
update runs set finished_at = greatest(now(), started_at) where run_id = $run_id
"""

ADD_SOURCES = """
insert into run_sources select $run_id, unnest($source_ids::varchar[]) on conflict do nothing
"""

ADD_TARGETS = """
insert into run_targets select $run_id, unnest($source_ids::varchar[]) on conflict do nothing
"""

RUN_TARGETS = "select source_id from run_targets where run_id = $run_id order by source_id"

RUN_SOURCES = "select source_id from run_sources where run_id = $run_id order by source_id"

WRITE_COUNTS = """
insert or replace into stage_counts values
($run_id, $stage, $step, $label, $rows_in, $added, $kept, $dropped, $quarantined, $notes)
"""

READ_COUNTS = """
select stage, step, label, rows_in, added, kept, dropped, quarantined, notes
from stage_counts where run_id = $run_id
"""

LAST_RUN = """
select run_id from runs where name = coalesce($name, name)
order by started_at desc, run_id limit 1
"""


LIST_RUNS = """
select run_id, name, strftime(started_at, '%Y-%m-%d %H:%M'), finished_at is not null, executions,
    (select count(*) from stage_counts c where c.run_id = r.run_id),
    (select count(*) from run_selections s where s.run_id = r.run_id and kind = 'choice')
from runs r order by started_at desc, run_id
"""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run among others, and how far it is."""

    run_id: str
    name: str
    started: str  # UTC, to the minute
    finished: bool
    executions: int
    steps: int  # whose books are stored
    choices: int  # 1 where it has selected, else 0


@dataclass(frozen=True, slots=True)
class StageCount:
    """The books of one step of a run. They must balance, or the object cannot be made."""

    stage: str
    step: int
    label: str
    rows_in: int
    kept: int
    added: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        out = self.kept + sum(self.dropped.values()) + sum(self.quarantined.values())
        if self.rows_in + self.added != out:
            raise ValueError(
                f"{self.stage}, {self.label}: {self.rows_in} rows in and {self.added} added, but "
                f"{out} accounted for ({self.kept} kept, dropped {dict(self.dropped)}, "
                f"quarantined {dict(self.quarantined)}); rows would be lost"
            )


def start_run(
    con: Connection,
    run_id: str,
    recipe: Mapping[str, object],
    code_version: str,
    models: Mapping[str, str],
    source_ids: Sequence[str],
) -> None:
    """Record that a run starts; the same run again counts one execution more.

    The run of the same name that chose last before it is recorded as the one it follows.
    """
    names = {"name": str(recipe["name"]), "run_id": run_id}
    with transaction(con):
        previous = con.execute(PREVIOUS_RUN, names).fetchall()
        con.execute(
            START_RUN,
            {
                **names,
                "previous_run_id": previous[0][0] if previous else None,
                "recipe": orjson.dumps(recipe).decode(),
                "seed": recipe["seed"],
                "code_version": code_version,
                "models": orjson.dumps(models, option=orjson.OPT_SORT_KEYS).decode(),
            },
        )
        con.execute(ADD_SOURCES, {"run_id": run_id, "source_ids": list(source_ids)})


def finish_run(con: Connection, run_id: str) -> None:
    """Record that a run ended well."""
    con.execute(FINISH_RUN, {"run_id": run_id})


def read_run_sources(con: Connection, run_id: str) -> list[str]:
    """The sources of a run."""
    return fetch_texts(con, RUN_SOURCES, {"run_id": run_id})


def write_run_targets(con: Connection, run_id: str, source_ids: Sequence[str]) -> None:
    """Record the sources of a run whose rows are examples to be close to."""
    con.execute(ADD_TARGETS, {"run_id": run_id, "source_ids": list(source_ids)})


def read_run_targets(con: Connection, run_id: str) -> list[str]:
    """The sources of a run's targets."""
    return fetch_texts(con, RUN_TARGETS, {"run_id": run_id})


def last_run(con: Connection, name: str | None = None) -> str | None:
    """The run started last, of this recipe name or of any."""
    return next(iter(fetch_texts(con, LAST_RUN, {"name": name})), None)


def find_run(con: Connection, run_id: str | None) -> str:
    """The run with this id, or the last one.

    Raises:
        QueryError: if there is none.
    """
    if run_id is None:
        found = last_run(con)
        if found is None:
            raise QueryError("no run has been made in this workspace yet: `sluice run RECIPE`")
        return found
    if not fetch_count(con, "select count(*) from runs where run_id = $r", {"r": run_id}):
        raise QueryError(
            f"no run {run_id!r} in this workspace; `sluice sql` can list them: "
            '"select run_id, name, started_at from runs"'
        )
    return run_id


def list_runs(con: Connection) -> list[ListedRun]:
    """All runs of a workspace, the last one first."""
    return [ListedRun(*row) for row in con.execute(LIST_RUNS).fetchall()]


def write_step(
    con: Connection, run_id: str, count: StageCount, decisions: Decisions | None = None
) -> None:
    """Store the books of a step and its decisions together, replacing those of the same step.

    A step that drops nothing, adds nothing and has nothing to say of a row has no decisions.
    """
    key = {"run_id": run_id, "stage": count.stage, "step": count.step}
    with transaction(con):
        write_decisions(con, key, decisions)
        con.execute(
            WRITE_COUNTS,
            key
            | {
                "label": count.label,
                "rows_in": count.rows_in,
                "added": count.added,
                "kept": count.kept,
                "dropped": orjson.dumps(dict(count.dropped)).decode(),
                "quarantined": orjson.dumps(dict(count.quarantined)).decode(),
                "notes": orjson.dumps(list(count.notes)).decode(),
            },
        )


def in_order(counts: Iterable[StageCount]) -> list[StageCount]:
    """The books of a run in the order in which its steps were taken."""
    return sorted(counts, key=lambda count: (STAGE_ORDER.index(count.stage), count.step))


def read_counts(con: Connection, run_id: str) -> list[StageCount]:
    """The books of a run, in no particular order of stages."""
    return [
        StageCount(
            stage=stage,
            step=step,
            label=label,
            rows_in=rows_in,
            added=added,
            kept=kept,
            dropped=orjson.loads(dropped),
            quarantined=orjson.loads(quarantined),
            notes=tuple(orjson.loads(notes)),
        )
        for stage, step, label, rows_in, added, kept, dropped, quarantined, notes in con.execute(
            READ_COUNTS, {"run_id": run_id}
        ).fetchall()
    ]
