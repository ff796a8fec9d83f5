"""The tables `runs`, `run_sources`, `run_targets`, `stage_counts`, `decisions`: what runs did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import pyarrow as pa

from storage.database import Connection, QueryError, fetch_count, transaction
from storage.rows import fetch_texts, write_table

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

CLEAR_DECISIONS = "delete from decisions where run_id = $run_id and stage = $stage and step = $step"

WRITE_DECISIONS = "insert into decisions select $run_id, $stage, $step, * from decided"

LAST_RUN = """
select run_id from runs where name = coalesce($name, name)
order by started_at desc, run_id limit 1
"""


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


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one step decided, one entry for each example."""

    example_ids: Sequence[str]
    reasons: Sequence[str]  # "" where the example was kept; else why it was dropped
    because_of: Sequence[str | None]
    values: Sequence[float | None]
    details: Sequence[str | None] | None = None  # of a copy: why the other one stayed

    @classmethod
    def keep_all(cls, example_ids: Sequence[str]) -> "Decisions":
        """Decisions of a step that drops nothing."""
        n = len(example_ids)
        return cls(example_ids, [""] * n, [None] * n, [None] * n)


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


def write_step(
    con: Connection, run_id: str, count: StageCount, decisions: Decisions | None
) -> None:
    """Store the books of a step and its decisions together, replacing those of the same step."""
    key = {"run_id": run_id, "stage": count.stage, "step": count.step}
    with transaction(con):
        if decisions is not None:
            con.execute(CLEAR_DECISIONS, key)  # of an execution that was killed after this step
            write_table(con, "decided", decision_table(decisions), WRITE_DECISIONS, key)
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


def decision_table(decisions: Decisions) -> pa.Table:
    """Decisions as the columns of their table."""
    outcomes = ["dropped" if reason else "kept" for reason in decisions.reasons]
    details = decisions.details or [None] * len(outcomes)
    return pa.table(
        {
            "example_id": pa.array(decisions.example_ids, pa.string()),
            "outcome": pa.array(outcomes, pa.string()),
            "reason": pa.array(decisions.reasons, pa.string()),
            "because_of": pa.array(decisions.because_of, pa.string()),
            "value": pa.array(decisions.values, pa.float64()),
            "detail": pa.array(details, pa.string()),
        }
    )


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
