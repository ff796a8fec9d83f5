"""The place of a workspace's shards: named once, found again, and never shared."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from storage.conversations import Conversation
from storage.database import open_workspace, read_workspace
from storage.measurements import (
    MANY_SMALL,
    MeasureKey,
    add_measure,
    commit_shards,
    merge_small_shards,
    read_measurements,
)
from storage.shard_files import ShardsUnreachableError
from storage.shard_location import OtherShardLocationError, find_shard_location, set_shard_location
from storage.sources import write_examples
from storage.workspace import Workspace
from tests.moto_server import serve_s3

KEY = MeasureKey("losses", "m", "fingerprint", "template", {"version": 1})


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with serve_s3() as url:
        yield url


def test_shards_are_in_the_workspace_unless_a_place_is_named(tmp_path: Path) -> None:
    set_shard_location(tmp_path / "w", None)
    assert find_shard_location(tmp_path / "w").root == str(tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_relative_workspace_has_an_absolute_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Workspace(Path("w")).measurements.root == str(tmp_path / "w/measurements")


def test_a_place_is_found_without_being_named_again(tmp_path: Path) -> None:
    set_shard_location(tmp_path / "w", f"{tmp_path}/shared/")
    for again in (None, str(tmp_path / "shared")):
        set_shard_location(tmp_path / "w", again)
        assert Workspace(tmp_path / "w").pending.root == str(tmp_path / "shared/pending")


def test_another_place_is_refused(tmp_path: Path) -> None:
    set_shard_location(tmp_path / "w", str(tmp_path / "shared"))
    with pytest.raises(OtherShardLocationError, match=r"the recipe says .*elsewhere"):
        set_shard_location(tmp_path / "w", str(tmp_path / "elsewhere"))
    assert find_shard_location(tmp_path / "w").root == str(tmp_path / "shared")


def test_a_place_is_refused_to_a_workspace_that_has_shards(tmp_path: Path) -> None:
    Workspace(tmp_path / "w").measurements.write("losses/k/x.parquet", pa.table({"a": [1]}))
    with pytest.raises(OtherShardLocationError, match="in the workspace itself"):
        set_shard_location(tmp_path / "w", str(tmp_path / "shared"))


def test_two_workspaces_cannot_have_one_place(tmp_path: Path) -> None:
    set_shard_location(tmp_path / "first", str(tmp_path / "shared"))
    for _ in range(2):
        with pytest.raises(OtherShardLocationError, match="another workspace"):
            set_shard_location(tmp_path / "second", str(tmp_path / "shared"))
    set_shard_location(tmp_path / "first", str(tmp_path / "shared"))


@pytest.mark.parametrize("lost", ["shared/claim.json", "first/shards.json"])
def test_a_kill_between_claiming_and_remembering_is_made_good(lost: str, tmp_path: Path) -> None:
    set_shard_location(tmp_path / "first", str(tmp_path / "shared"))
    (tmp_path / lost).unlink()
    set_shard_location(tmp_path / "first", str(tmp_path / "shared"))
    assert find_shard_location(tmp_path / "first").root == str(tmp_path / "shared")
    with pytest.raises(OtherShardLocationError):
        set_shard_location(tmp_path / "second", str(tmp_path / "shared"))


@pytest.mark.parametrize("bad", ["no-such-bucket", "no credentials"])
def test_a_store_that_cannot_be_used_is_told_before_any_work(
    bucket: str, bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    place = "s3://no-such-bucket/x"
    if bad == "no credentials":
        place = f"{bucket}/x"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(ShardsUnreachableError, match=r"cannot be used for shards.*AWS_ACC"):
        set_shard_location(tmp_path / "w", place)
    set_shard_location(tmp_path / "w", str(tmp_path / "better"))
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_duckdb_reads_and_merges_shards_in_a_store(bucket: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    set_shard_location(workspace.directory, f"{bucket}/{uuid4().hex}")
    user = {"role": "user", "content": "q"}
    talks = [
        Conversation([user, {"role": "assistant", "content": str(n)}]) for n in range(MANY_SMALL)
    ]
    with open_workspace(workspace) as con:
        ids = sorted(write_examples(con, talks, "source"))
        add_measure(con, KEY)
        for number, example_id in enumerate(ids):
            name = f"losses/{KEY.measure_key}/{number}.parquet"
            base = {"example_id": [example_id], "measure_key": [KEY.measure_key], "state": ["ok"]}
            table = pa.table({**base, "detail": [""], "mean_nll": [float(number)]})
            workspace.measurements.write(name, table)
            commit_shards(con, workspace, KEY, [(name, 0.5)])
    with read_workspace(workspace) as con:
        assert con.execute("select sum(mean_nll) from losses").fetchall() == [
            (sum(range(MANY_SMALL)),)
        ]
    with open_workspace(workspace) as con:
        assert len(workspace.measurements.names()) == MANY_SMALL
        merge_small_shards(con, workspace, KEY)
    assert len(workspace.measurements.names()) == 1
    assert not (workspace.directory / "measurements").exists()
    with read_workspace(workspace) as con:
        _, columns = read_measurements(con, KEY, ["mean_nll"], ids)
        listed = con.execute("select count(*) from measurements").fetchall()
    np.testing.assert_array_equal(columns["mean_nll"], np.arange(MANY_SMALL))
    assert listed == [(MANY_SMALL,)]
