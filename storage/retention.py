"""What the workspace still needs: the `run_measures` table, and the files that tables name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from storage.database import Connection, transaction
from storage.measurements import MeasureKey

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

EXPORT_FOLDERS = "select path from exports"


@dataclass(frozen=True, slots=True)
class UnusedMeasure:
    """Measurements under one key that no run used since a day."""

    measure_key: str
    measure: str
    model: str
    settings: str
    rows: int
    paths: Sequence[str]
    """Relative to measurements/."""


def write_run_measures(con: Connection, run_id: str, keys: Mapping[str, MeasureKey]) -> None:
    """Record which measurements a run reads, by the names it has for them."""
    with transaction(con):
        con.execute(CLEAR_RUN, {"run_id": run_id})
        for name, key in keys.items():
            con.execute(ADD_RUN, {"run_id": run_id, "name": name, "measure_key": key.measure_key})


def read_unused(con: Connection, since: date) -> list[UnusedMeasure]:
    """Measurements that some run used, but none that was started since a day.

    What no run is recorded to have used is left out, for it may be of an older version, which kept
    no such record; and so is everything, where a run since then finished without a record.
    """
    if con.execute(UNRECORDED, {"since": since.isoformat()}).fetchall() != [(0,)]:
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
    return {str(path) for (path,) in con.execute(NAMED_FILES).fetchall()}


def read_adapters(con: Connection) -> set[str]:
    """Folders of finished trainings, relative to the workspace."""
    return {str(path) for (path,) in con.execute(ADAPTERS).fetchall()}


def read_export_folders(con: Connection) -> set[str]:
    """Folders of exports, relative to the workspace."""
    return {str(path) for (path,) in con.execute(EXPORT_FOLDERS).fetchall()}
