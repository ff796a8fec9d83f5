import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scorers.measures.models.model_cache import (
    PARTIAL,
    STALE_SECONDS,
    build_once,
    default_cache,
    file_fingerprint,
)


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_cache() == Path("/elsewhere/sluice")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "sluice"


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cache = tmp_path / "weights", tmp_path / "cache"
    file.write_bytes(b"a" * (1 << 20))
    first = file_fingerprint(file, cache)
    monkeypatch.setattr("scorers.measures.models.model_cache._hash_file", lambda path: "read again")
    assert file_fingerprint(file, cache) == first

    os.utime(file, ns=(0, 1))  # another file could stand there now
    assert file_fingerprint(file, cache) == "read again"


def test_racing_builds_end_with_one_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    both_started = threading.Barrier(2)

    def build(folder: Path) -> None:
        (folder / "first").write_text("1")
        both_started.wait(timeout=10)
        (folder / "second").write_text("2")

    with ThreadPoolExecutor(2) as pool:
        racers = [pool.submit(build_once, target, build) for _ in range(2)]
    assert [racer.result() for racer in racers] == [target, target]
    assert sorted(path.name for path in target.iterdir()) == ["first", "second"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("1")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_once(tmp_path / "model", build)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_left_is_not_taken_for_the_model(tmp_path: Path) -> None:
    old, young = tmp_path / f"{PARTIAL}old", tmp_path / f"{PARTIAL}young"
    for folder in (old, young):
        folder.mkdir()
    then = time.time() - STALE_SECONDS - 1
    os.utime(old, (then, then))

    def build(folder: Path) -> None:
        (folder / "whole").write_text("1")

    build_once(tmp_path / "model", build)
    assert (tmp_path / "model" / "whole").exists()
    assert not old.exists()  # half a gigabyte, usually
    assert young.exists()  # another process may be writing it


def test_a_folder_that_is_there_is_not_built_again(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        raise AssertionError("built again")

    assert build_once(tmp_path, build) == tmp_path
