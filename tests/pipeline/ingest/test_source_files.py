"""What a name stands for is seen before it is opened, and a change of it leaves a trace."""

import os
import socket
from pathlib import Path

import pytest

from pipeline.ingest.readers import read_rows, source_fingerprint
from pipeline.ingest.rows import UnreadableSourceError
from pipeline.ingest.source_files import hash_source, require_readable, sign_source


def make(kind: str, folder: Path) -> Path:
    path = folder / "rows.jsonl"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
    elif kind == "a link to nothing":
        path.symlink_to(folder / "gone")
    elif kind == "a device":
        return Path("/dev/null")
    return path


@pytest.mark.parametrize(
    "kind", ["a pipe", "a socket", "a device", "a link to nothing", "not there"]
)
def test_what_is_no_file_is_refused_by_name_and_never_opened(tmp_path: Path, kind: str) -> None:
    path = make(kind, tmp_path)
    for read in (source_fingerprint, lambda each: list(read_rows(each, "jsonl"))):
        with pytest.raises(UnreadableSourceError, match=kind) as refused:
            read(path)
        assert path.name in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["new\nline.jsonl", "bell\a.jsonl", "sur\udcffrogate.jsonl"])
def test_an_odd_name_is_shown_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableSourceError, match=r"rows|line|bell|rogate") as refused:
        require_readable(tmp_path / name)
    assert "\n" not in str(refused.value)
    str(refused.value).encode()


def test_a_name_that_cannot_be_stored_is_refused_though_the_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "sur\udcffrogate.jsonl"
    path.write_bytes(b"{}\n")
    with pytest.raises(UnreadableSourceError, match="rename it"):
        require_readable(path)
    odd = tmp_path / "new\nline.jsonl"
    odd.write_bytes(b"{}\n")
    require_readable(odd)
    assert len(list(read_rows(odd))) == 1


def test_every_kind_of_change_leaves_another_signature(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"aa")
    signed = {sign_source(path)}
    os.utime(path, ns=(1, 1))
    signed.add(sign_source(path))
    other = tmp_path / "other"
    other.write_bytes(b"aa")
    other.rename(path)
    signed.add(sign_source(path))
    path.write_bytes(b"aaa")
    signed.add(sign_source(path))
    assert len(signed) == 4
    (tmp_path / "one").write_bytes(b"")
    within = sign_source(tmp_path)
    (tmp_path / "two").write_bytes(b"")
    assert sign_source(tmp_path) != within


def test_a_directory_is_hashed_by_names_and_bytes(tmp_path: Path) -> None:
    hashes = set()
    for name, content in (("a", b"1"), ("b", b"1"), ("a", b"2")):
        folder = tmp_path / f"{name}{content.decode()}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        hashes.add(hash_source(folder))
    assert len(hashes) == 3
