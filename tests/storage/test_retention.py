"""What no run has used since a day, and what is never called unused."""

from datetime import date

from storage.database import Connection
from storage.measurements import MeasureKey, add_measure
from storage.retention import (
    forget_files,
    forget_measures,
    read_named_files,
    read_trainings,
    read_unused,
    read_warmups,
    write_run_measures,
)
from storage.runs import finish_run, start_run

DAY = date(2026, 1, 1)


def add_run(con: Connection, run_id: str, started: str, keys: dict[str, MeasureKey]) -> None:
    start_run(con, run_id, {"name": "n", "seed": 0}, "code", {}, [])
    write_run_measures(con, run_id, keys)
    finish_run(con, run_id)
    con.execute(f"update runs set started_at = '{started}' where run_id = '{run_id}'")


def add_key(con: Connection, name: str) -> MeasureKey:
    key = MeasureKey(name, "model", "f", "t", {})
    add_measure(con, key)
    values = f"('{key.measure_key}', '{name}/a.parquet', 5, 1.0, null)"
    con.execute(f"insert into shards values {values}")
    return key


def test_only_what_an_earlier_run_alone_has_used_is_unused(con: Connection) -> None:
    old, both, never = (add_key(con, name) for name in ("old", "both", "never"))
    second = f"('{old.measure_key}', 'old/A.parquet', 2, 1.0, null)"
    con.execute(f"insert into shards values {second}")
    add_run(con, "then", "2025-12-31", {"a": old, "b": both})
    add_run(con, "now", "2026-01-02", {"b": both})
    (unused,) = read_unused(con, DAY)
    assert (unused.measure_key, unused.rows) == (old.measure_key, 5 + 2)
    assert list(unused.paths) == ["old/A.parquet", "old/a.parquet"]
    assert never.measure_key not in unused.measure_key
    forget_measures(con, [unused.measure_key])
    assert read_named_files(con) == {"both/a.parquet", "never/a.parquet"}
    assert con.execute("select measure from measures order by 1").fetchall() == [
        ("both",),
        ("never",),
    ]
    assert not read_unused(con, DAY)


def test_a_run_without_a_record_may_have_used_anything(con: Connection) -> None:
    add_run(con, "then", "2025-12-31", {"a": add_key(con, "old")})
    add_run(con, "unrecorded", "2026-01-02", {})
    assert not read_unused(con, DAY)


def test_a_run_that_is_done_again_uses_what_it_used_last(con: Connection) -> None:
    first, second = add_key(con, "first"), add_key(con, "second")
    add_run(con, "again", "2026-01-02", {"a": first})
    add_run(con, "again", "2026-01-02", {"a": second})
    found = con.execute("select name, measure_key from run_measures").fetchall()
    assert found == [("a", second.measure_key)]


def test_a_forgotten_file_is_measured_again(con: Connection) -> None:
    add_key(con, "lost")
    forget_files(con, ["lost/a.parquet"])
    assert read_named_files(con) == set()


def add_settings(con: Connection, measure: str, model: str, settings: dict[str, object]) -> str:
    key = MeasureKey(measure, "model", model, "t", settings)
    add_measure(con, key)
    return key.measure_key


def test_a_warmup_is_kept_for_gradients_that_are_stored(con: Connection) -> None:
    keys = {
        name: add_settings(con, measure, "f", {"warmup": name})
        for name, measure in (
            ("stored", "gradients"),
            ("left out", "gradients"),
            ("without files", "gradients"),
            ("of another measure", "losses"),
        )
    }
    for name, key in keys.items():
        if name != "without files":
            con.execute("insert into shards values (?, ?, 5, 1.0, null)", [key, f"{name}.parquet"])
    assert read_warmups(con, [keys["left out"]]) == {"stored"}
    assert read_warmups(con, []) == {"stored", "left out"}


def test_trainings_are_alike_whatever_pool_they_are_of(con: Connection) -> None:
    settings = [{"pool": "a", "epochs": 1}, {"pool": "b", "epochs": 1}, {"pool": "b", "epochs": 2}]
    keys = [add_settings(con, "trajectories", "f", each) for each in settings]
    for key in keys:
        for path in ("2", "1"):
            con.execute("insert into shards values (?, ?, 5, 1.0, null)", [key, f"{key}/{path}"])
    found = {each.key: each for each in read_trainings(con)}
    assert list(found) == sorted(keys)
    one, same, other = (found[key] for key in keys)
    assert one.settings == same.settings != other.settings
    assert one.paths == (f"{keys[0]}/1", f"{keys[0]}/2")
