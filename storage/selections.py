"""The `selections`, `run_selections`, `selection_rows`, `exports` and `trials` tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from storage.conversations import content_hash
from storage.database import Connection, QueryError, fetch_count, transaction
from storage.rows import fetch_texts, write_table

CONTROLS = ("random", "random_tokens", "length_matched")
"""What a choice is held against: random rows, as many; of as many loss tokens; as long as its."""

ADD = """
insert into selections values ($selection_id, $name, $rows, $loss_tokens) on conflict do nothing
"""

LINK = "insert or replace into run_selections values ($run_id, $selection_id, $kind, $parent_id)"

CLEAR = "delete from selection_rows where selection_id = $selection_id"

WRITE = "insert into selection_rows select $selection_id, * from picked"

READ = """
select example_id, weight from selection_rows
where selection_id = $selection_id order by rank
"""

FIND = """
select selection_id from selections
where name = $name or starts_with(selection_id, $name) order by selection_id
"""

READ_TURNS = """
select example_id, turns from selection_rows
where selection_id = $selection_id and turns is not null
"""

OF_RUN = """
select kind, selection_id, rows, loss_tokens
from run_selections join selections using (selection_id) where run_id = $run_id order by kind
"""

ADD_EXPORT = """
insert or replace into exports values ($export_id, $selection_id, $path, $rows, $loss_tokens)
"""

ADD_TRIAL = """
insert or replace into trials (trial_id, export_id, adapter, report, cost)
values ($trial_id, $export_id, $adapter, $report, $cost)
"""

RUN_EXPORTS = """
select path from exports join run_selections using (selection_id)
where run_id = $run_id and kind = 'choice' order by path
"""

READ_ADAPTERS = """
select trial_id, adapter from trials
join exports using (export_id) join run_selections using (selection_id) join runs using (run_id)
where kind = 'choice' group by trial_id, adapter
having not bool_or(name = $name)
order by max(started_at) desc, trial_id
"""

RUN_TRIALS = """
select trial_id, adapter, report, cost from trials join exports using (export_id)
join run_selections using (selection_id)
where run_id = $run_id and kind = 'choice' order by trial_id
"""

COSTS = """
select report, cost from trials join exports using (export_id)
join run_selections using (selection_id) join runs using (run_id)
where cost is not null group by trial_id, report, cost
order by max(started_at) desc, trial_id
"""

COSTED_TRIALS = "select trial_id from trials where cost is not null"

HAS_EXPORT = "select count(*) from exports where export_id = $export_id"


class StoredTrial(NamedTuple):
    """What came of a training."""

    adapter: str
    """Relative to the workspace."""
    report: dict[str, Any]
    cost: dict[str, Any] | None
    """None of a training of an older version."""


@dataclass(frozen=True, slots=True)
class PickedRows:
    """A selection to be stored."""

    name: str
    ids: Sequence[str]
    """In the order picked."""
    loss_tokens: int
    """That they hold together."""
    kind: str = "choice"
    """choice, held_out, or one of CONTROLS."""
    parent_id: str | None = None
    """The choice that a control belongs to."""
    turns: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Indices of the turns that are trained, of the examples of which not all that could be are."""


def write_selection(con: Connection, run_id: str, chosen: PickedRows) -> str:
    """Store an ordered selection, and link it to its run; return its id."""
    with transaction(con):
        selection_id = store_rows(con, chosen)
        of_run = {"run_id": run_id, "kind": chosen.kind, "parent_id": chosen.parent_id}
        con.execute(LINK, {"selection_id": selection_id} | of_run)
    return selection_id


def write_arm(con: Connection, arm: PickedRows) -> str:
    """Store the rows of an arm of a trial, which are no run's choice; return their id."""
    with transaction(con):
        return store_rows(con, arm)


def store_rows(con: Connection, chosen: PickedRows) -> str:
    """Store the rows of a selection in their order, each with weight 1; return its id."""
    ids, weights = list(chosen.ids), [1.0] * len(chosen.ids)
    # Without the run: the same choice made again is the same selection.
    identity: list[object] = [chosen.name, chosen.kind, ids, weights]
    if chosen.turns:  # an id from before they were is that of a choice of whole examples
        identity.append({example_id: list(chosen.turns[example_id]) for example_id in chosen.turns})
    selection_id = content_hash(identity)[:16]
    picked = pa.table(
        {
            "rank": pa.array(range(1, len(ids) + 1), pa.int64()),  # from 1, as people count
            "example_id": pa.array(ids, pa.string()),
            "weight": pa.array(weights, pa.float64()),
            "turns": pa.array([chosen.turns.get(i) for i in ids], pa.list_(pa.int32())),
        }
    )
    key = {"selection_id": selection_id}
    totals = {"name": chosen.name, "rows": len(ids), "loss_tokens": chosen.loss_tokens}
    con.execute(ADD, key | totals)
    con.execute(CLEAR, key)
    write_table(con, "picked", picked, WRITE, key)
    return selection_id


def read_selection(con: Connection, selection_id: str) -> tuple[list[str], list[float]]:
    """Example ids and weights in the order picked."""
    rows = con.execute(READ, {"selection_id": selection_id}).fetchall()
    return [str(row[0]) for row in rows], [float(row[1]) for row in rows]


def find_selection(con: Connection, name: str) -> str:
    """The id of a selection, by its id, by how that begins, or by its name.

    Raises:
        QueryError: if none is called so, or several are.
    """
    found = fetch_texts(con, FIND, {"name": name})
    if len(found) != 1:
        raise QueryError(
            f"{len(found)} selections are called {name!r}; `sluice sql` can list them: "
            '"select selection_id, name, rows from selections"'
        )
    return found[0]


def read_selected_turns(con: Connection, selection_id: str) -> dict[str, list[int]]:
    """example_id → indices of its turns that are trained, where not all that could be are."""
    return dict(con.execute(READ_TURNS, {"selection_id": selection_id}).fetchall())


@dataclass(frozen=True, slots=True)
class StoredSelection:
    """A selection of a run."""

    selection_id: str
    rows: int
    loss_tokens: int


def read_run_selections(con: Connection, run_id: str) -> dict[str, StoredSelection]:
    """Kind → selection of a run."""
    rows = con.execute(OF_RUN, {"run_id": run_id}).fetchall()
    return {str(row[0]): StoredSelection(*row[1:]) for row in rows}


def record_export(
    con: Connection, export_id: str, selection_id: str, path: str, rows: int, loss_tokens: int
) -> None:
    """Record an export: its path in the workspace, and its rows and loss tokens."""
    con.execute(
        ADD_EXPORT,
        {
            "export_id": export_id,
            "selection_id": selection_id,
            "path": path,
            "rows": rows,
            "loss_tokens": loss_tokens,
        },
    )


def read_run_exports(con: Connection, run_id: str) -> list[str]:
    """Paths of the exports of what a run chose, relative to the workspace."""
    return fetch_texts(con, RUN_EXPORTS, {"run_id": run_id})


def write_trial(
    con: Connection,
    trial_id: str,
    export_id: str,
    adapter: str,
    outcome: tuple[Mapping[str, Any], Mapping[str, Any] | None],
) -> None:
    """Record a training run.

    Args:
        con: an open workspace.
        trial_id: hash of export, model and settings.
        export_id: what was trained on.
        adapter: its folder, relative to the workspace.
        outcome: its report and its cost, None where that is not known.
    """
    report, cost = (
        None if told is None else orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()
        for told in outcome
    )
    con.execute(
        ADD_TRIAL,
        {
            "trial_id": trial_id,
            "export_id": export_id,
            "adapter": adapter,
            "report": report,
            "cost": cost,
        },
    )


def read_adapters(con: Connection, not_of: str) -> list[tuple[str, str]]:
    """Trials and their folders, by when the run that chose their rows was started, last first.

    Args:
        con: an open workspace.
        not_of: name of the recipe whose own trials are left out.
    """
    rows = con.execute(READ_ADAPTERS, {"name": not_of}).fetchall()
    return [(str(trial_id), str(folder)) for trial_id, folder in rows]


def read_run_trials(con: Connection, run_id: str) -> dict[str, StoredTrial]:
    """Trial → what came of it, of the trainings on exports of what a run chose."""
    rows = con.execute(RUN_TRIALS, {"run_id": run_id}).fetchall()
    return {
        str(trial_id): StoredTrial(
            str(adapter), orjson.loads(report), orjson.loads(cost) if cost else None
        )
        for trial_id, adapter, report, cost in rows
    }


def read_costed_trials(con: Connection) -> set[str]:
    """Ids of the trials whose cost is known."""
    return set(fetch_texts(con, COSTED_TRIALS))


def read_costs(con: Connection) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Report and cost of trainings, by when the run that chose their rows began, last first."""
    return [
        (orjson.loads(report), orjson.loads(cost)) for report, cost in con.execute(COSTS).fetchall()
    ]


def has_export(con: Connection, export_id: str) -> bool:
    """Whether the workspace made this export."""
    return fetch_count(con, HAS_EXPORT, {"export_id": export_id}) > 0
