"""Measurements: only committed shards count, and arrays come back aligned."""

import numpy as np
import pyarrow as pa

from storage.conversations import Conversation
from storage.database import Connection
from storage.measurements import (
    MeasureKey,
    add_measure,
    commit_shards,
    missing_examples,
    read_measurements,
)
from storage.parquet import read_parquet, write_parquet
from storage.sources import write_examples
from storage.workspace import Workspace

KEY = MeasureKey("losses", "m", "fingerprint", "template", {"version": 1, "max_tokens": 9})


def store_examples(con: Connection, texts: list[str]) -> list[str]:
    talks = [
        Conversation([{"role": "user", "content": "q"}, {"role": "assistant", "content": text}])
        for text in texts
    ]
    return write_examples(con, talks, "source")


def write_shard(workspace: Workspace, ids: list[str], **columns: object) -> tuple[object, float]:
    path = workspace.measurements / "losses" / KEY.measure_key / f"{len(ids)}.parquet"
    n = len(ids)
    base = {"example_id": ids, "measure_key": [KEY.measure_key] * n, "state": ["ok"] * n}
    write_parquet(path, pa.table({**base, "detail": [""] * n, **columns}))
    return path, 1.5


def test_the_key_holds_what_changes_a_number_and_nothing_else() -> None:
    renamed = MeasureKey("losses", "other name", "fingerprint", "template", KEY.settings)
    assert renamed.measure_key == KEY.measure_key
    for other in (
        MeasureKey("losses", "m", "other", "template", KEY.settings),
        MeasureKey("losses", "m", "fingerprint", "other", KEY.settings),
        MeasureKey("losses", "m", "fingerprint", "template", {"version": 1, "max_tokens": 8}),
    ):
        assert other.measure_key != KEY.measure_key


def test_a_file_that_was_not_committed_is_not_there(con: Connection, workspace: Workspace) -> None:
    ids = sorted(store_examples(con, ["a", "bb"]))
    add_measure(con, KEY)
    shard = write_shard(workspace, ids, mean_nll=[1.0, 2.0])
    assert sorted(missing_examples(con, KEY, ids)) == ids
    commit_shards(con, workspace, KEY, [shard])  # type: ignore[list-item]
    assert missing_examples(con, KEY, ids) == []
    commit_shards(con, workspace, KEY, [shard])  # type: ignore[list-item]
    assert con.execute("select count(*) from losses").fetchall() == [(2,)]


def test_missing_rows_come_short_ones_first(con: Connection) -> None:
    long, short = store_examples(con, ["a long answer", "short"])
    assert missing_examples(con, KEY, [long, short]) == [short, long]


def test_lists_become_padded_arrays(con: Connection, workspace: Workspace) -> None:
    ids = sorted(store_examples(con, ["a", "b", "c"]))
    add_measure(con, KEY)
    shard = write_shard(
        workspace,
        ids[:2],
        one=pa.array([1.0, None]),
        two=pa.array([[1.0, 2.0], [3.0]]),
        three=pa.array([[[1.0], [2.0]], None]),
    )
    commit_shards(con, workspace, KEY, [shard])  # type: ignore[list-item]
    states, columns = read_measurements(con, KEY, ("one", "two", "three", "absent"), ids)
    assert states == ["ok", "ok", "not_measured"]
    nan = np.nan
    np.testing.assert_array_equal(columns["one"], [1, nan, nan])
    np.testing.assert_array_equal(columns["two"], [[1, 2], [3, nan], [nan, nan]])
    np.testing.assert_array_equal(columns["three"], [[[1], [2]], [[nan], [nan]], [[nan], [nan]]])
    np.testing.assert_array_equal(columns["absent"], [nan, nan, nan])


def test_a_file_is_written_whole(workspace: Workspace) -> None:
    path = workspace.measurements / "x.parquet"
    write_parquet(path, pa.table({"a": [1]}))
    assert read_parquet(path).to_pylist() == [{"a": 1}]
    assert [file.name for file in workspace.measurements.iterdir()] == ["x.parquet"]
