"""A file of measurements that is not what was committed is refused by whatever reads it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
import pytest

from storage.database import Connection, open_workspace, read_workspace
from storage.measurement_details import count_above_zero, count_members, read_details
from storage.measurements import (
    MANY_SMALL,
    MeasureKey,
    add_measure,
    commit_shards,
    merge_small_shards,
    read_answers,
    read_measurement_blocks,
    read_measurements,
    read_missing,
    read_sizes,
    read_texts,
)
from storage.retention import StoredProxy, covers
from storage.shard_checks import SOUND, DamagedMeasurementsError, find_damaged
from storage.shard_files import ShardFiles
from storage.shard_location import set_shard_location
from storage.workspace import Workspace

KEY = MeasureKey("token_counts", "m", "fingerprint", "template", {})
IDS = [f"{n:032}" for n in range(40)]

READERS: dict[str, Callable[[Connection], object]] = {
    "measurements": lambda con: read_measurements(con, KEY, ["mean_nll"], IDS),
    "blocks": lambda con: list(read_measurement_blocks(con, KEY, ["mean_nll"], IDS)),
    "missing": lambda con: read_missing(con, KEY, IDS),
    "sizes": lambda con: read_sizes(con, IDS, KEY),
    "answers": lambda con: read_answers(con, KEY, IDS),
    "texts": lambda con: read_texts(con, KEY, "detail", IDS),
    "details": lambda con: read_details(con, KEY, IDS),
    "members": lambda con: count_members(con, KEY, "answers", IDS),
    "above zero": lambda con: count_above_zero(con, KEY, "mean_nll", IDS),
}


@pytest.fixture(autouse=True)
def nothing_is_known() -> Iterator[None]:
    SOUND.clear()
    yield
    SOUND.clear()


def commit_one(workspace: Workspace, key: MeasureKey = KEY, files: int = 1) -> list[Path]:
    """Commit files of the examples' numbers; their paths."""
    n = len(IDS) // files
    shards = []
    for file in range(files):
        shards.append((f"{key.measure}/{key.measure_key}/{file}.parquet", 1.0))
        table = {
            "example_id": IDS[file * n : (file + 1) * n],
            "measure_key": [key.measure_key] * n,
            "state": ["ok"] * n,
            "detail": [""] * n,
            "mean_nll": [float(place) for place in range(n)],
            "prompt_tokens": [1] * n,
            "response_tokens": [1] * n,
            "answers": [["a"]] * n,
            "trained": [True] * n,
        }
        workspace.measurements.write(shards[-1][0], pa.table(table))
    with open_workspace(workspace) as con:
        add_measure(con, key)
        commit_shards(con, workspace, key, shards)
    with open_workspace(workspace):  # its views show them now
        return [Path(workspace.measurements.address(path)) for path, _ in shards]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_a_flipped_bit(workspace: Workspace, reader: str) -> None:
    (file,) = commit_one(workspace)
    with read_workspace(workspace) as con:
        READERS[reader](con)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    again = f"{file} is not the file of measurements that was written.*gc --lost -w .*again"
    with (
        read_workspace(workspace) as con,
        pytest.raises(DamagedMeasurementsError, match=again) as raised,
    ):
        READERS[reader](con)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:200]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"PAR1" + os.urandom(900) + b"PAR1"),
        lambda file: os.truncate(file, file.stat().st_size - 1),
    ],
)
def test_a_broken_file_is_named_when_the_views_are_made(
    workspace: Workspace, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    damage(commit_one(workspace)[0])
    moved = Workspace(workspace.directory.rename(tmp_path / "moved"))  # its views are made anew
    with pytest.raises(DamagedMeasurementsError, match=r"0\.parquet"), read_workspace(moved):
        pass


def test_a_file_is_hashed_once_until_it_is_written_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = commit_one(workspace)
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(content: object, name: str) -> object:
        hashed.append(name)
        return digest(content, name)  # type: ignore[arg-type]

    monkeypatch.setattr("storage.shard_checks.hashlib.file_digest", counted)
    for _ in range(2):  # openings of one process
        with read_workspace(workspace) as con:
            for read in READERS.values():
                read(con)
    assert len(hashed) == 1
    os.utime(file, ns=(1, 1))
    with read_workspace(workspace) as con:
        READERS["measurements"](con)
    assert len(hashed) == 2


def test_all_damaged_files_are_counted(workspace: Workspace) -> None:
    files = commit_one(workspace, files=4)
    for file in files[1:]:
        file.write_bytes(b"no Parquet")
    with (
        pytest.raises(DamagedMeasurementsError, match=r"1\.parquet \(and 2 more\)"),
        read_workspace(workspace) as con,
    ):
        READERS["measurements"](con)


def test_what_an_older_version_committed_has_no_hash(workspace: Workspace) -> None:
    (file,) = commit_one(workspace)
    with open_workspace(workspace) as con:
        con.execute("update shards set sha256 = null")
        READERS["measurements"](con)
    file.write_bytes(b"no Parquet")
    with read_workspace(workspace) as con, pytest.raises(duckdb.InvalidInputException):
        READERS["measurements"](con)


def test_damage_is_never_merged_into_a_file_that_has_a_hash(workspace: Workspace) -> None:
    key = MeasureKey("losses", "m", "f", "t", {})
    files = commit_one(workspace, key, files=MANY_SMALL + 8)
    content = bytearray(files[5].read_bytes())
    content[len(content) // 3] ^= 1
    files[5].write_bytes(content)
    with (
        open_workspace(workspace) as con,
        pytest.raises(DamagedMeasurementsError, match=r"5\.parquet"),
    ):
        merge_small_shards(con, workspace, key)
    assert all(file.exists() for file in files)


def test_damaged_trajectories_make_no_proxy_superfluous(workspace: Workspace) -> None:
    (file,) = commit_one(workspace)
    path = str(file.relative_to(workspace.measurements.root))
    proxy = StoredProxy(KEY.measure_key, "settings", (path,))
    with open_workspace(workspace) as con:
        assert covers(con, workspace, proxy, proxy)
        file.write_bytes(file.read_bytes() + b"\0")
        assert not covers(con, workspace, proxy, proxy)


def test_a_training_whose_file_is_gone_is_compared_with_none(workspace: Workspace) -> None:
    """Of an older version too, which stored no hashes: DuckDB would fail on the file."""
    (file,) = commit_one(workspace)
    path = str(file.relative_to(workspace.measurements.root))
    there = StoredProxy(KEY.measure_key, "settings", (path,))
    gone = StoredProxy(KEY.measure_key, "settings", (f"{path}.gone",))
    with open_workspace(workspace) as con:
        con.execute("update shards set sha256 = null")
        assert not covers(con, workspace, there, gone)
        assert not covers(con, workspace, gone, there)


def test_a_file_of_another_key_that_fails_the_view_is_named(workspace: Workspace) -> None:
    (other,) = commit_one(workspace, MeasureKey("token_counts", "old", "old", "t", {}))
    commit_one(workspace)
    other.write_bytes(other.read_bytes()[:300])
    with (
        pytest.raises(DamagedMeasurementsError, match=str(other)),
        read_workspace(workspace) as con,
    ):
        READERS["measurements"](con)


@pytest.fixture
def stored(workspace: Workspace) -> Workspace:
    """A workspace whose shards are in a store."""
    workspace.directory.mkdir(parents=True, exist_ok=True)
    set_shard_location(workspace.directory, f"memory://{uuid4().hex}")
    commit_one(workspace, files=3)
    return workspace


@pytest.mark.parametrize("reader", READERS)
def test_a_flipped_bit_in_a_store_is_refused_as_one_on_this_machine(
    stored: Workspace, reader: str
) -> None:
    with read_workspace(stored) as con:
        READERS[reader](con)
    files = stored.measurements
    (name,) = [name for name in files.names() if name.endswith("1.parquet")]
    content = bytearray(files.read_bytes(name))
    content[len(content) // 3] ^= 1
    files.write_bytes(name, bytes(content))
    with (
        read_workspace(stored) as con,
        pytest.raises(DamagedMeasurementsError, match=r"memory://.*1\.parquet is not the file"),
    ):
        READERS[reader](con)


def test_a_file_that_is_gone_from_its_store_is_named(stored: Workspace) -> None:
    with read_workspace(stored) as con:
        files = stored.measurements
        (name,) = [name for name in files.names() if name.endswith("2.parquet")]
        files.remove(name)
        assert find_damaged(con, KEY.measure_key) == [files.address(name)]


def test_a_file_in_a_store_is_hashed_once_until_it_is_written_again(
    stored: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    hash_file = ShardFiles.hash_file

    def counted(self: ShardFiles, name: str) -> str:
        hashed.append(name)
        return hash_file(self, name)

    monkeypatch.setattr(ShardFiles, "hash_file", counted)
    for _ in range(2):
        with read_workspace(stored) as con:
            for read in READERS.values():
                read(con)
    assert len(hashed) == len(set(hashed)) == 3
    stored.measurements.write_bytes(hashed[0], stored.measurements.read_bytes(hashed[0]))
    with read_workspace(stored) as con:
        READERS["measurements"](con)
    assert hashed[3:] == hashed[:1], "the same bytes, written anew"
