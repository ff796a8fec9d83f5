"""The `trial_plans`, `trial_replicates` and `trial_items` tables: what trials planned and measured.

An item's value is stored once for each training and each evaluation, so a trial that trains the
same arm asks nothing again, and every number of its table can be had from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from storage.conversations import canonical_json, content_hash
from storage.database import Connection, transaction
from storage.rows import write_table

ADD_PLAN = """
insert into trial_plans
select $plan_id, $run_id, $plan, now(), (
    select plan_id from trial_plans
    where run_id = $run_id and plan_id <> $plan_id and not json_exists(result, '$.halves')
    order by written_at desc, plan_id limit 1
), null
on conflict do nothing
"""

CHANGED_AFTER = "select changed_after from trial_plans where plan_id = $plan_id"

ADD_REPLICATES = "insert or replace into trial_replicates select $plan_id, * from replicates"

ADD_ITEMS = "insert or replace into trial_items select $replicate_id, $evaluation_id, * from items"

HAS_ITEMS = """
select evaluation_id from trial_items where replicate_id = $replicate_id group by all
"""

READ_ITEMS = """
select item, cluster, value, tokens from trial_items
where replicate_id = $replicate_id and evaluation_id = $evaluation_id and metric = $metric
order by item
"""

WRITE_RESULT = "update trial_plans set result = $result where plan_id = $plan_id"

RESULTS = """
select result from trial_plans where not json_exists(result, '$.halves')
order by written_at desc, plan_id
"""

LAST_RESULT = """
select result from trial_plans where run_id = $run_id and json_exists(result, '$.halves') = $halves
order by written_at desc, plan_id limit 1
"""
"""A result of random halves, which has `halves`, or of a comparison; null is neither."""


@dataclass(frozen=True, slots=True)
class Replicate:
    """One training of an arm, or the untrained model."""

    arm: str
    replicate_id: str
    learning_rate: float | None
    seed: int
    export_id: str | None


@dataclass(frozen=True, slots=True)
class ItemValues:
    """What one training made of the items of an evaluation, in one metric."""

    metric: str
    items: Sequence[int]
    """Line or row numbers, ascending."""
    clusters: Sequence[str | None]
    values: Sequence[float]
    tokens: Sequence[int]


def plan_identity(plan: Mapping[str, Any]) -> str:
    """The id of a plan: its hash."""
    return content_hash(plan)[:16]


def write_plan(
    con: Connection, run_id: str, plan: Mapping[str, Any], replicates: Sequence[Replicate]
) -> str | None:
    """Write a plan down before it is carried out; one that is there stays as it was.

    Returns:
        The id of another plan of the same run that had a result before this one was written.
    """
    plan_id = plan_identity(plan)
    table = pa.table(
        {
            "arm": pa.array([each.arm for each in replicates], pa.string()),
            "replicate_id": pa.array([each.replicate_id for each in replicates], pa.string()),
            "learning_rate": pa.array([each.learning_rate for each in replicates], pa.float64()),
            "seed": pa.array([each.seed for each in replicates], pa.int32()),
            "export_id": pa.array([each.export_id for each in replicates], pa.string()),
        }
    )
    key = {"plan_id": plan_id}
    with transaction(con):
        con.execute(ADD_PLAN, key | {"run_id": run_id, "plan": canonical_json(plan).decode()})
        write_table(con, "replicates", table, ADD_REPLICATES, key)
    (found,) = con.execute(CHANGED_AFTER, key).fetchall()
    return None if found[0] is None else str(found[0])


def write_items(
    con: Connection, replicate_id: str, evaluation_id: str, measured: Sequence[ItemValues]
) -> None:
    """Store what a training made of an evaluation, all metrics of it together."""
    with transaction(con):
        for each in measured:
            table = pa.table(
                {
                    "metric": pa.array([each.metric] * len(each.items), pa.string()),
                    "item": pa.array(each.items, pa.int64()),
                    "cluster": pa.array(each.clusters, pa.string()),
                    "value": pa.array(each.values, pa.float64()),
                    "tokens": pa.array(each.tokens, pa.int64()),
                }
            )
            key = {"replicate_id": replicate_id, "evaluation_id": evaluation_id}
            write_table(con, "items", table, ADD_ITEMS, key)


def read_evaluated(con: Connection, replicate_id: str) -> set[str]:
    """Ids of the evaluations that are stored of a training."""
    rows = con.execute(HAS_ITEMS, {"replicate_id": replicate_id}).fetchall()
    return {str(row[0]) for row in rows}


def read_items(con: Connection, replicate_id: str, evaluation_id: str, metric: str) -> ItemValues:
    """What a training made of the items of an evaluation; nothing where it is not stored."""
    key = {"replicate_id": replicate_id, "evaluation_id": evaluation_id, "metric": metric}
    rows = con.execute(READ_ITEMS, key).fetchall()
    items, clusters, values, tokens = ([row[place] for row in rows] for place in range(4))
    return ItemValues(metric, items, clusters, values, tokens)


def write_result(con: Connection, plan_id: str, result: Mapping[str, Any]) -> None:
    """Store what a trial came to."""
    told = orjson.dumps(result, option=orjson.OPT_SORT_KEYS).decode()
    con.execute(WRITE_RESULT, {"plan_id": plan_id, "result": told})


def read_last_result(con: Connection, run_id: str) -> dict[str, Any] | None:
    """What the last trial on the choice of a run came to; None where there was none."""
    return _read_last(con, run_id, halves=False)


def read_last_halves(con: Connection, run_id: str) -> dict[str, Any] | None:
    """What the last trainings on random halves of a run's rows said of its scores, or None."""
    return _read_last(con, run_id, halves=True)


def _read_last(con: Connection, run_id: str, *, halves: bool) -> dict[str, Any] | None:
    rows = con.execute(LAST_RESULT, {"run_id": run_id, "halves": halves}).fetchall()
    return orjson.loads(rows[0][0]) if rows else None


def read_results(con: Connection) -> list[dict[str, Any]]:
    """What all comparisons of a workspace came to, the last one first."""
    return [orjson.loads(row[0]) for row in con.execute(RESULTS).fetchall()]
