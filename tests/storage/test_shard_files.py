"""Shard files: the same in a directory, in memory and in an S3-compatible store."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from storage.shard_files import MissingStorePackageError, ShardFiles, ShardsUnreachableError
from tests.moto_server import serve_s3

TABLE = pa.table({"a": [1, 2], "b": [[0.5], None]})


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with serve_s3() as url:
        yield url


@pytest.fixture(params=["directory", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ShardFiles:
    if request.param == "directory":
        return ShardFiles(str(tmp_path / "place"))
    if request.param == "memory":
        return ShardFiles(f"memory://{uuid4().hex}")
    return ShardFiles(f"{request.getfixturevalue('bucket')}/{uuid4().hex}")


def test_what_is_written_is_read(files: ShardFiles) -> None:
    assert files.names() == [] and not files.exists("m/x.parquet")
    files.write("m/x.parquet", TABLE)
    assert files.exists("m/x.parquet")
    assert files.read("m/x.parquet").equals(TABLE)
    assert files.count_rows("m/x.parquet") == 2
    assert files.below("m").names() == ["x.parquet"]
    assert files.sizes() == {"m/x.parquet": len(files.read_bytes("m/x.parquet"))}


def test_a_file_that_another_process_wrote_or_removed_is_noticed(files: ShardFiles) -> None:
    files.write("x.parquet", TABLE)
    assert files.names() == ["x.parquet"]
    protocol = files.root.split("://")[0] if "://" in files.root else "file"
    other = fsspec.filesystem(protocol, skip_instance_cache=True)
    other.cp_file(files.address("x.parquet"), files.address("y.parquet"))
    other.rm_file(files.address("x.parquet"))
    assert files.names() == ["y.parquet"] and not files.exists("x.parquet")


def test_a_file_that_is_not_there_is_removed_without_a_word(files: ShardFiles) -> None:
    files.remove("x.parquet")
    assert files.names() == []


def test_files_are_joined_in_order(files: ShardFiles) -> None:
    for number in range(3):
        files.write(f"m/{number}.parquet", pa.table({"a": [number, number + 10]}))
    files.concatenate(["m/2.parquet", "m/0.parquet"], "m/all.parquet")
    assert files.read("m/all.parquet")["a"].to_pylist() == [2, 12, 0, 10]
    assert files.names() == ["m/0.parquet", "m/1.parquet", "m/2.parquet", "m/all.parquet"]


def test_a_write_that_stops_on_the_way_leaves_no_file(
    files: ShardFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(table: pa.Table, path: Path, compression: str) -> None:
        path.write_bytes(b"PAR1 and then")
        raise KeyboardInterrupt

    files.write("before.parquet", TABLE)
    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", die)
        with pytest.raises(KeyboardInterrupt):
            files.write("x.parquet", TABLE)
    assert files.names() == ["before.parquet"] and not files.exists("x.parquet")


def test_a_place_is_sent_as_its_name_alone(files: ShardFiles) -> None:
    files.write("x.parquet", TABLE)  # opens whatever connection there is
    sent = pickle.dumps(files)
    assert len(sent) < 300 and b"AWS" not in sent
    assert pickle.loads(sent) == files


def test_duckdb_is_not_told_of_an_old_listing(files: ShardFiles) -> None:
    for number in range(2):
        files.write(f"m/{number}.parquet", TABLE)
        store = files.filesystem()
        con = duckdb.connect()
        if store is not None:
            con.register_filesystem(store)
        paths = [files.address(f"m/{at}.parquet") for at in range(number + 1)]
        counted = con.execute("select count(*) from read_parquet($paths)", {"paths": paths})
        assert counted.fetchall() == [(2 * number + 2,)]


def test_what_a_store_says_is_explained(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    files = ShardFiles("s3://no-such-bucket/x")
    told = "cannot be used for shards.*See that the directory or bucket exists"
    for act in (lambda: files.write("x", TABLE), lambda: files.read("x")):
        with pytest.raises(ShardsUnreachableError, match=told):
            act()


def test_only_a_store_needs_a_file_system_of_its_own(files: ShardFiles) -> None:
    assert (files.filesystem() is None) == files.root.startswith("/")


def test_a_store_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ShardsUnreachableError, match="no kind of store is called 's33'"):
        ShardFiles("s33://bucket").exists("x")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(protocol: str, **_: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(MissingStorePackageError, match=r"pip install -e '\.\[s3\]' in Sluice's"):
        ShardFiles("s3://bucket").exists("x")
