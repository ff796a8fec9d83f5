import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from pipeline.ingest.compression import BLOCK_BYTES, BrokenStreamError, read_blocks
from pipeline.ingest.rows import UnreadableSourceError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
# Half of it cannot be compressed, so that damage falls into text and not only into repeats.
TEXT = os.urandom(BLOCK_BYTES) + b"abc\n" * (BLOCK_BYTES // 4)
every_suffix = pytest.mark.parametrize("suffix", COMPRESS)


def write(folder: Path, suffix: str, content: bytes) -> Path:
    path = folder / f"rows.jsonl{suffix}"
    path.write_bytes(content)
    return path


def read_until_broken(path: Path) -> tuple[bytes, str]:
    read = b""
    try:
        for block in read_blocks(path):
            read += block
    except BrokenStreamError as error:
        return read, str(error)
    return read, ""


@pytest.mark.parametrize("suffix", ["", ".GZ", *COMPRESS])
def test_gives_the_text_in_blocks(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESS.get(suffix.lower(), bytes)
    assert b"".join(read_blocks(write(tmp_path, suffix, compress(TEXT)))) == TEXT


@every_suffix
def test_blocks_stay_small_where_the_text_repeats(tmp_path: Path, suffix: str) -> None:
    content = COMPRESS[suffix](bytes(80 * BLOCK_BYTES))
    sizes = [len(block) for block in read_blocks(write(tmp_path, suffix, content))]
    assert sum(sizes) == 80 * BLOCK_BYTES
    assert max(sizes) <= 33 * BLOCK_BYTES


@every_suffix
def test_reads_every_member(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESS[suffix]
    content = compress(b"first\n") + b"\0" * 8 + compress(b"") + compress(TEXT)
    assert b"".join(read_blocks(write(tmp_path, suffix, content))) == b"first\n" + TEXT


@every_suffix
def test_a_file_that_ends_early_gives_all_it_has(tmp_path: Path, suffix: str) -> None:
    content = COMPRESS[suffix](TEXT)
    read, fault = read_until_broken(write(tmp_path, suffix, content[: BLOCK_BYTES // 2]))
    assert TEXT.startswith(read)
    assert len(read) > BLOCK_BYTES // 4
    assert fault == f"ends early, after {len(read)} bytes of text"


@every_suffix
def test_damage_is_found_and_what_stands_before_it_is_kept(tmp_path: Path, suffix: str) -> None:
    content = bytearray(COMPRESS[suffix](TEXT))
    content[-200:] = b"\xff" * 200
    read, fault = read_until_broken(write(tmp_path, suffix, bytes(content)))
    assert len(read) > BLOCK_BYTES // 4
    # Whether the last bytes still look like an end to come is up to the method.
    assert fault.startswith(("damaged after", "ends early"))


@every_suffix
def test_a_wrong_checksum_is_found(tmp_path: Path, suffix: str) -> None:
    content = bytearray(COMPRESS[suffix](TEXT))
    content[1000] ^= 1
    assert "damaged after" in read_until_broken(write(tmp_path, suffix, bytes(content)))[1]


@every_suffix
def test_what_is_not_compressed_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UnreadableSourceError, match="not compressed as its suffix says"):
        list(read_blocks(write(tmp_path, suffix, b'{"a": 1}\n' * 100)))


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_byte_order_marks(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESS.get(suffix, bytes)
    path = write(tmp_path, suffix, compress(b"\xef\xbb\xbf{}\n\xef\xbb\xbf"))
    assert b"".join(read_blocks(path)) == b"{}\n\xef\xbb\xbf"
    with pytest.raises(UnreadableSourceError, match="UTF-16"):
        list(read_blocks(write(tmp_path, suffix, compress("{}".encode("utf-16")))))


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    assert list(read_blocks(write(tmp_path, "", b""))) == []


@every_suffix
def test_an_empty_compressed_file_is_told_from_a_compressed_empty_one(
    tmp_path: Path, suffix: str
) -> None:
    assert list(read_blocks(write(tmp_path, suffix, COMPRESS[suffix](b"")))) == []
    with pytest.raises(UnreadableSourceError, match="is empty"):
        list(read_blocks(write(tmp_path, suffix, b"")))


@every_suffix
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_first_block_is_damaged_and_not_of_another_kind(
    tmp_path: Path, suffix: str, damage: str
) -> None:
    whole = COMPRESS[suffix](TEXT)
    content = whole[:12] if damage == "cut" else whole[:8] + bytes(255 - b for b in whole[8:])
    with pytest.raises(BrokenStreamError, match=r"damaged after 0 bytes|ends early, after 0 bytes"):
        list(read_blocks(write(tmp_path, suffix, content)))
