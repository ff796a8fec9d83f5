"""Faults of the disk end as one line that says where and what to do, with exit code 3."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from safetensors import SafetensorError

from flows.cli import main as command_line
from flows.cli.disk_errors import REMEDIES, explain_fault
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from storage.database import open_workspace, read_workspace
from storage.error_notes import writing_to
from storage.shard_files import ShardFiles
from storage.workspace import Workspace
from tests.exported_workspace import export_workspace

ROOT = Path(__file__).parents[3]


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory, of a size or without the right to write."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def raised(error: Exception, *, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_every_fault_is_explained_with_its_path() -> None:
    for number, remedy in REMEDIES.items():
        error = OSError(number, os.strerror(number), "/a/path")
        assert explain_fault(error) == f"/a/path: {remedy}"


@pytest.mark.parametrize(
    "error",
    [
        duckdb.IOException('Cannot write "/w/x.duckdb.wal": No space left on device'),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
        OSError("[Errno 28] Error writing bytes to file. No space left on device"),
        raised(RuntimeError("task failed"), cause=OSError(errno.ENOSPC, "full")),
        ExceptionGroup("shards", [OSError(errno.ENOSPC, "full")]),
    ],
    ids=["duckdb", "safetensors", "arrow", "cause", "group"],
)
def test_a_full_disk_is_known_however_it_is_told(error: Exception) -> None:
    explained = explain_fault(error)
    assert explained is not None and "the disk is full: free some" in explained


def test_other_errors_are_not_explained_away() -> None:
    for error in (
        KeyError("x"),
        ValueError("No space left on device, says a row"),
        FileNotFoundError(errno.ENOENT, "no such file", "/x"),
    ):
        assert explain_fault(error) is None


def test_a_note_says_where_a_library_did_not(tmp_path: Path) -> None:
    with pytest.raises(SafetensorError) as caught, writing_to(tmp_path / "adapter"):
        raise SafetensorError("No space left on device")
    explained = explain_fault(caught.value)
    assert explained is not None and explained.startswith(f"{tmp_path}/adapter: the disk is full")


def end_of(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    """The exit code of a command that ends with this error."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(command_line, "app", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_command_ends_with_3_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(monkeypatch, PermissionError(errno.EACCES, "no", "/w")) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sluice: error: /w: permission denied: give the directory")


def test_a_disk_that_is_full_while_reading_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"ask {n}", "completion": "x" * 900}) for n in range(6000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    workspace = Workspace(tmp_path / "disk")
    sources = identify_sources(workspace, [SourceSettings(path=str(tmp_path / "rows.jsonl"))])
    with mounted(tmp_path / "disk", "size=4m"):
        with pytest.raises(Exception) as caught:  # whatever DuckDB raises
            ingest_sources(workspace, sources)
        explained = explain_fault(caught.value)
        assert explained is not None and "workspace.duckdb" in explained
        assert "the disk is full" in explained
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path / "disk")], check=True)
        ingest_sources(workspace, sources)
        with read_workspace(workspace) as con:
            counted = con.execute("select count(*), count(distinct position) from occurrences")
            assert counted.fetchall() == [(6000, 6000)]


def test_a_disk_that_is_full_while_measuring_leaves_no_half_file(tmp_path: Path) -> None:
    table = pa.table({"x": [os.urandom(1000) for _ in range(2000)]})
    with mounted(tmp_path / "disk", "size=1m"):
        with pytest.raises(OSError) as caught:
            ShardFiles(str(tmp_path / "disk")).write("a/shard.parquet", table)
        explained = explain_fault(caught.value)
        assert explained is not None and "a/shard.parquet: the disk is full" in explained
        assert not [path for path in (tmp_path / "disk").rglob("*") if path.is_file()]
        ShardFiles(str(tmp_path)).write("shard.parquet", table)
        with pytest.raises(OSError):
            ShardFiles(str(tmp_path)).concatenate(["shard.parquet"], "disk/merged.parquet")
        assert not [path for path in (tmp_path / "disk").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_disk_that_is_full_while_exporting_leaves_no_half_export(tmp_path: Path) -> None:
    exports = tmp_path / "workspace" / "exports"
    exports.mkdir(parents=True)
    with mounted(exports, "size=16k"):
        with pytest.raises(OSError) as caught:
            export_workspace(tmp_path)
        explained = explain_fault(caught.value)
        assert explained is not None and "exports/choice-" in explained
        assert not list(exports.iterdir())


def test_a_workspace_that_cannot_be_written_can_be_read_and_says_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "disk")
    with mounted(tmp_path / "disk", "size=64m"):
        with open_workspace(workspace):
            pass
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        with read_workspace(workspace) as con:
            assert con.execute("select count(*) from runs").fetchall() == [(0,)]
        with pytest.raises(duckdb.IOException) as caught, open_workspace(workspace):
            pass
        explained = explain_fault(caught.value)
        assert explained is not None and "the file system is read-only" in explained


@pytest.mark.slow
def test_without_permission_the_command_says_so_and_reads_all_the_same(tmp_path: Path) -> None:
    if shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("taking root's rights away needs root and setpriv")
    workspace = Workspace(tmp_path / "workspace")
    with open_workspace(workspace):
        pass
    workspace.database.chmod(0o444)
    workspace.directory.chmod(0o555)
    rights = "-dac_override,-dac_read_search"
    plain = ["setpriv", "--bounding-set", rights, "--inh-caps", rights]
    program = "from flows.cli.main import main; main()"
    sluice = [*plain, sys.executable, "-c", program]
    where = ["-w", str(workspace.directory)]

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*sluice, *words, *where]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    read, written = ask("sql", "select 7 as n", "--json"), ask("gc")
    assert read.returncode == 0 and json.loads(read.stdout) == [{"n": 7}]
    assert written.returncode == 3 and "permission denied" in written.stderr
    assert "Traceback" not in written.stderr
