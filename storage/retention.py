"""What the workspace still needs: the `run_measures` table, and the files that tables name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import orjson

from storage.conversations import content_hash
from storage.database import Connection, fetch_count, transaction
from storage.measurements import MeasureKey
from storage.rows import fetch_texts
from storage.shard_checks import find_damaged
from storage.workspace import Workspace

RUN_KEYS = """
select name, measure, model, model_fingerprint, template_fingerprint, settings
from run_measures join measures using (measure_key) where run_id = $run_id order by name
"""

CLEAR_RUN = "delete from run_measures where run_id = $run_id"

ADD_RUN = "insert into run_measures values ($run_id, $name, $measure_key)"

UNUSED = """
with since as (
    select run_id from runs where started_at >= $since::date
), used as (
    select measure_key from run_measures where run_id in (from since)
)
select measure_key, measure, model, settings, sum(rows)::bigint, list(path order by path)
from measures join shards using (measure_key)
where measure_key in (select measure_key from run_measures)
  and measure_key not in (from used)
group by all order by measure, model, measure_key
"""

UNRECORDED = """
select count(*) from runs
where started_at >= $since::date and finished_at is not null
  and run_id not in (select run_id from run_measures)
"""

FORGET_SHARDS = "delete from shards where measure_key = any($keys::varchar[])"

FORGET_MEASURES = "delete from measures where measure_key = any($keys::varchar[])"

FORGET_FILE = "delete from shards where path = $path"

NAMED_FILES = "select path from shards"

ADAPTERS = "select adapter from trials"

TRAININGS = """
select measure_key, model_fingerprint, template_fingerprint, settings, list(path order by path)
from measures join shards using (measure_key) where measure = 'trajectories'
group by all order by measure_key
"""

WARMUPS = """
select distinct settings->>'warmup' from measures
where measure = 'gradients' and not measure_key = any($without::varchar[])
  and measure_key in (select measure_key from shards)
"""

NOT_LEARNT = """
select count(*) from (
    select example_id from read_parquet($smaller::varchar[], union_by_name = true) where trained
    except
    select example_id from read_parquet($larger::varchar[], union_by_name = true) where trained
)
"""


@dataclass(frozen=True, slots=True)
class StoredProxy:
    """A training of a proxy whose trajectories are stored."""

    key: str
    settings: str  # everything that decides the training but its rows
    paths: tuple[str, ...]  # files of its trajectories, relative to measurements/


@dataclass(frozen=True, slots=True)
class UnusedMeasure:
    """Measurements under one key that no run used since a day."""

    measure_key: str
    measure: str
    model: str
    settings: str
    rows: int
    paths: Sequence[str]  # relative to measurements/


def write_run_measures(con: Connection, run_id: str, keys: Mapping[str, MeasureKey]) -> None:
    """Record which measurements a run reads, by the names it has for them."""
    with transaction(con):
        con.execute(CLEAR_RUN, {"run_id": run_id})
        for name, key in keys.items():
            con.execute(ADD_RUN, {"run_id": run_id, "name": name, "measure_key": key.measure_key})


def read_run_keys(con: Connection, run_id: str) -> dict[str, MeasureKey]:
    """Name of each measure in a run → the key its numbers are stored under."""
    rows = con.execute(RUN_KEYS, {"run_id": run_id}).fetchall()
    return {
        name: MeasureKey(measure, model, fingerprint, template, orjson.loads(settings))
        for name, measure, model, fingerprint, template, settings in rows
    }


def read_unused(con: Connection, since: date) -> list[UnusedMeasure]:
    """Measurements that some run used, but none that was started since a day.

    What no run is recorded to have used is left out, for it may be of an older version, which kept
    no such record; and so is everything, where a run since then finished without a record.
    """
    if fetch_count(con, UNRECORDED, {"since": since.isoformat()}):
        return []
    rows = con.execute(UNUSED, {"since": since.isoformat()}).fetchall()
    return [UnusedMeasure(*row) for row in rows]


def forget_measures(con: Connection, keys: Sequence[str]) -> None:
    """Take measurements out of the tables; their files are then named by nothing."""
    with transaction(con):
        con.execute(FORGET_SHARDS, {"keys": list(keys)})
        con.execute(FORGET_MEASURES, {"keys": list(keys)})


def forget_files(con: Connection, paths: Iterable[str]) -> None:
    """Take files of measurements out of the tables; their rows count as not measured then."""
    with transaction(con):
        for path in paths:
            con.execute(FORGET_FILE, {"path": path})


def read_named_files(con: Connection) -> set[str]:
    """Files of measurements that belong to the workspace, relative to measurements/."""
    return set(fetch_texts(con, NAMED_FILES))


def read_kept_adapters(con: Connection) -> set[str]:
    """Folders of finished trainings, relative to the workspace."""
    return set(fetch_texts(con, ADAPTERS))


def read_trainings(con: Connection) -> list[StoredProxy]:
    """Trainings of proxies whose trajectories are stored, by key."""
    return [
        StoredProxy(
            key,
            # Without the pool: what is left decides whether two trainings can be compared.
            content_hash([model, template, {**orjson.loads(settings), "pool": ""}]),
            tuple(paths),
        )
        for key, model, template, settings, paths in con.execute(TRAININGS).fetchall()
    ]


def read_warmups(con: Connection, without: Sequence[str]) -> set[str]:
    """Warm-ups of adapters that gradients are stored of, but for those under some keys."""
    return set(fetch_texts(con, WARMUPS, {"without": list(without)}))


def covers(
    con: Connection, workspace: Workspace, larger: StoredProxy, smaller: StoredProxy
) -> bool:
    """Whether one training learnt every row that another did; not if a file is gone or damaged."""
    files = workspace.measurements
    if not all(files.exists(path) for each in (larger, smaller) for path in each.paths):
        return False  # DuckDB would fail on the one that is gone
    if any(find_damaged(con, each.key) for each in (larger, smaller)):
        return False
    more, fewer = ([files.address(path) for path in each.paths] for each in (larger, smaller))
    return fetch_count(con, NOT_LEARNT, {"smaller": fewer, "larger": more}) == 0
