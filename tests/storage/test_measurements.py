"""Measurements: only committed shards count, and arrays come back aligned."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage import measurements
from storage.conversations import Conversation
from storage.database import Connection
from storage.exports_manifest import hash_file
from storage.measurements import (
    MANY_SMALL,
    MeasureKey,
    add_measure,
    commit_shards,
    merge_small_shards,
    read_measured_keys,
    read_measurements,
    read_missing,
    read_stored_keys,
    to_array,
)
from storage.shard_files import ShardFiles
from storage.sources import write_examples
from storage.views import define_views
from storage.workspace import Workspace

KEY = MeasureKey("losses", "m", "fingerprint", "template", {"version": 1, "max_tokens": 9})


def store_examples(con: Connection, texts: list[str]) -> list[str]:
    talks = [
        Conversation([{"role": "user", "content": "q"}, {"role": "assistant", "content": text}])
        for text in texts
    ]
    return write_examples(con, talks, "source")


def write_shard(workspace: Workspace, ids: list[str], **columns: object) -> tuple[str, float]:
    path = f"losses/{KEY.measure_key}/{len(ids)}.parquet"
    n = len(ids)
    base = {"example_id": ids, "measure_key": [KEY.measure_key] * n, "state": ["ok"] * n}
    workspace.measurements.write(path, pa.table({**base, "detail": [""] * n, **columns}))
    return path, 1.5


def commit(
    con: Connection, workspace: Workspace, key: MeasureKey, shard: tuple[str, float]
) -> None:
    """Commit a file, and have the views show it without opening the workspace anew."""
    commit_shards(con, workspace, key, [shard])
    define_views(con, workspace, temporary=False)


def missing(con: Connection, ids: list[str]) -> list[str]:
    found: list[str] = read_missing(con, KEY, ids)["example_id"].to_pylist()
    return found


def tokens_of(con: Connection, ids: list[str], sizes: MeasureKey) -> dict[str, int]:
    found = read_missing(con, KEY, ids, sizes)
    return dict(zip(found["example_id"].to_pylist(), found["tokens"].to_pylist(), strict=True))


def killed(_: ShardFiles, __: str) -> None:
    raise KeyboardInterrupt


def test_the_key_holds_what_changes_a_number_and_nothing_else() -> None:
    renamed = MeasureKey("losses", "other name", "fingerprint", "template", KEY.settings)
    assert renamed.measure_key == KEY.measure_key and len(KEY.measure_key) == 16
    for other in (
        MeasureKey("losses", "m", "other", "template", KEY.settings),
        MeasureKey("losses", "m", "fingerprint", "other", KEY.settings),
        MeasureKey("losses", "m", "fingerprint", "template", {"version": 1, "max_tokens": 8}),
    ):
        assert other.measure_key != KEY.measure_key


def test_keys_that_have_something_are_found_by_their_measure(con: Connection) -> None:
    rows = {3: [4, 4], 1: [5], 2: [2, 3], 0: []}  # rows of the files of each key
    keys = {n: MeasureKey("losses", "m", "f", "t", {"n": n}) for n in rows}
    others = [
        MeasureKey("embeddings", "m", "f", "t", {}),
        MeasureKey("losses", "m", "other", "t", {}),
        MeasureKey("losses", "m", "f", "other", {}),
    ]
    for key, files in [
        *((keys[n], files) for n, files in rows.items()),
        *((o, [1]) for o in others),
    ]:
        add_measure(con, key)
        for place, size in enumerate(files):
            file = [key.measure_key, f"{key.measure_key}/{place}", size, 1.0, None]
            con.execute("insert into shards values (?, ?, ?, ?, ?)", file)
    fives = sorted([keys[1], keys[2]], key=lambda key: key.measure_key)
    found = read_stored_keys(con, "losses")
    assert found[:3] == [keys[3], *fives]  # 8 rows, and twice 5
    assert sorted(map(repr, found[3:])) == sorted(map(repr, others[1:]))
    alike = sorted([keys[1], keys[2], keys[3]], key=lambda key: key.measure_key)
    assert read_measured_keys(con, keys[0]) == alike


def test_what_is_missing_is_ordered_by_prompt(con: Connection) -> None:
    prompts = ["b", "a b", "a", "c", "a"]
    talks = [
        Conversation([{"role": "user", "content": p}, {"role": "assistant", "content": str(n)}])
        for n, p in enumerate(prompts)
    ]
    ids = write_examples(con, talks, "source")
    expected = [*sorted([ids[2], ids[4]]), ids[1], ids[0], ids[3]]
    assert missing(con, sorted(ids)) == missing(con, sorted(ids, reverse=True)) == expected


def test_a_file_that_was_not_committed_is_not_there(con: Connection, workspace: Workspace) -> None:
    ids = sorted(store_examples(con, ["a", "bb"]))
    add_measure(con, KEY)
    shard = write_shard(workspace, ids, mean_nll=[1.0, 2.0])
    assert sorted(missing(con, ids)) == ids
    commit(con, workspace, KEY, shard)
    assert missing(con, ids) == []
    commit(con, workspace, KEY, shard)
    assert con.execute("select count(*) from losses").fetchall() == [(2,)]


def test_missing_rows_with_one_prompt_stand_together(con: Connection) -> None:
    talks = [
        Conversation([{"role": "user", "content": q}, {"role": "assistant", "content": a}])
        for a in ("long " * 20, "short", "x")
        for q in ("a second question", "a first question")
    ]
    ids = write_examples(con, talks, "source")
    prompts = {
        example_id: talk.messages[0]["content"] for example_id, talk in zip(ids, talks, strict=True)
    }
    found = missing(con, ids)
    assert [prompts[i] for i in found] == ["a first question"] * 3 + ["a second question"] * 3
    assert missing(con, ids[::-1]) == found


def test_missing_rows_have_the_tokens_that_were_counted(
    con: Connection, workspace: Workspace
) -> None:
    ids = sorted(store_examples(con, ["12345678", "x"]))
    sizes = MeasureKey("token_counts", "m", "fingerprint", "template", {})
    before = tokens_of(con, ids, sizes)
    assert sorted(before.values()) == [1, 3]  # characters: 1 + 1 and 1 + 8, four to a token
    path = "token_counts/counts.parquet"
    counted = {"example_id": ids[:1], "measure_key": [sizes.measure_key], "state": ["ok"]}
    tokens = {"detail": [""], "prompt_tokens": [40], "response_tokens": [2]}
    workspace.measurements.write(path, pa.table({**counted, **tokens}))
    add_measure(con, sizes)
    commit(con, workspace, sizes, (path, 1.0))
    after = tokens_of(con, ids, sizes)
    assert after == {**before, ids[0]: 42}


def test_many_small_files_become_one(con: Connection, workspace: Workspace) -> None:
    ids = sorted(store_examples(con, [f"answer {n}" for n in range(MANY_SMALL)]))
    add_measure(con, KEY)
    for number, example_id in enumerate(ids):
        path = f"losses/{KEY.measure_key}/{number}.parquet"
        n = {"mean_nll": [float(number)], "nll": [[1.0, float(number)]]}
        base = {"example_id": [example_id], "measure_key": [KEY.measure_key], "state": ["ok"]}
        workspace.measurements.write(path, pa.table({**base, "detail": [""], **n}))
        commit(con, workspace, KEY, (path, 0.5))
        merge_small_shards(con, workspace, KEY)
        count = len(workspace.measurements.names())
        assert count == (number + 1 if number + 1 < MANY_SMALL else 1)
    define_views(con, workspace, temporary=False)
    assert con.execute("select rows, seconds from shards").fetchall() == [(MANY_SMALL, 16.0)]
    _, columns = read_measurements(con, KEY, ("mean_nll", "nll"), ids)
    np.testing.assert_array_equal(columns["mean_nll"], np.arange(MANY_SMALL))
    np.testing.assert_array_equal(columns["nll"][:, 1], np.arange(MANY_SMALL))


def test_a_file_of_the_least_large_size_is_not_small(
    con: Connection, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(store_examples(con, ["a", "bb", "ccc"]))
    add_measure(con, KEY)
    shards = [write_shard(workspace, some, mean_nll=[1.0] * len(some)) for some in (ids[:1], ids)]
    commit_shards(con, workspace, KEY, shards)
    sizes = workspace.measurements.sizes()
    assert sizes[shards[0][0]] < sizes[shards[1][0]]
    monkeypatch.setattr(measurements, "MANY_SMALL", 2)
    monkeypatch.setattr(measurements, "SMALL_BYTES", sizes[shards[1][0]])
    merge_small_shards(con, workspace, KEY)
    assert len(workspace.measurements.names()) == 2
    monkeypatch.setattr(measurements, "SMALL_BYTES", sizes[shards[1][0]] + 1)
    merge_small_shards(con, workspace, KEY)
    assert len(workspace.measurements.names()) == 1


def test_a_kill_between_merging_and_clearing_loses_nothing(
    con: Connection, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(store_examples(con, ["a", "bb"]))
    add_measure(con, KEY)
    shard = write_shard(workspace, ids, mean_nll=[1.0, 2.0])
    commit(con, workspace, KEY, shard)
    monkeypatch.setattr(measurements, "MANY_SMALL", 1)
    with monkeypatch.context() as patch:
        patch.setattr(ShardFiles, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            merge_small_shards(con, workspace, KEY)
    define_views(con, workspace, temporary=False)
    assert con.execute("select count(*), sum(mean_nll) from losses").fetchall() == [(2, 3.0)]
    assert missing(con, ids) == []


def test_lists_of_which_none_has_a_number_have_no_width() -> None:
    assert to_array(pa.array([None, [], None], pa.list_(pa.float64()))).shape == (3, 0)
    assert to_array(pa.array([[1.0], []], pa.list_(pa.float64()))).shape == (2, 1)


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
    commit(con, workspace, KEY, shard)
    states, columns = read_measurements(con, KEY, ("one", "two", "three", "absent"), ids)
    assert states == ["ok", "ok", "not_measured"]
    nan = np.nan
    np.testing.assert_array_equal(columns["one"], [1, nan, nan])
    np.testing.assert_array_equal(columns["two"], [[1, 2], [3, nan], [nan, nan]])
    np.testing.assert_array_equal(columns["three"], [[[1], [2]], [[nan], [nan]], [[nan], [nan]]])
    np.testing.assert_array_equal(columns["absent"], [nan, nan, nan])


def test_the_hash_of_each_file_is_stored_of_merged_ones_too(
    con: Connection, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "MANY_SMALL", 2)
    ids = store_examples(con, ["one", "two", "three"])
    for part in (ids[:1], ids[1:]):
        shard = write_shard(workspace, part, mean_nll=[1.0] * len(part))
        commit_shards(con, workspace, KEY, [shard])
    assert len(con.execute("select * from shards where sha256 is not null").fetchall()) == 2
    merge_small_shards(con, workspace, KEY)
    (stored,) = con.execute("select path, sha256 from shards").fetchall()
    assert "merged" in stored[0]
    assert stored[1] == hash_file(Path(workspace.measurements.address(stored[0])))
