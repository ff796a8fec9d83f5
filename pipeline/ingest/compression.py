"""Bytes of a file in blocks of bounded size, decompressed by the file's suffix.

A compressed file that ends early or is damaged gives all the bytes before the damage, then an
error. Python's own readers lose up to a buffer of them, and zstandard's does not notice the end.
"""

import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import zstandard

from pipeline.ingest.rows import UnreadableSourceError

BLOCK_BYTES = 2**20
COMPRESSED_BYTES = 2**10  # read at once: little, because 4 bytes of zstd can become 128 KiB

UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class BrokenStreamError(ValueError):
    """A stream ends early, is damaged, or goes on after its end.

    Attributes:
        rest: the bytes of the row that was being read when it broke; added by who reads rows.
    """

    def __init__(self, fault: str, rest: bytes = b"") -> None:
        super().__init__(fault)
        self.rest = rest


class Decompressor(Protocol):
    """What zlib, lzma and zstandard have in common."""

    @property
    def eof(self) -> bool:
        """Whether the compressed member is complete."""

    @property
    def unused_data(self) -> bytes:
        """What was given after the end of the member."""

    def decompress(self, data: bytes, /) -> bytes:
        """Give all that can be had of the data so far."""


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),  # 15 for the largest window, 16 for a gzip header
    ".xz": lzma.LZMADecompressor,
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


MAGIC = {".gz": b"\x1f\x8b", ".xz": b"\xfd7zXZ\0", ".zst": b"\x28\xb5\x2f\xfd"}
"""How a compressed file begins."""


def read_blocks(path: Path) -> Iterator[bytes]:
    """Blocks of a file's text, of about 1 MiB each, without the byte order mark.

    Raises:
        BrokenStreamError: if the file is compressed and ends early or is damaged, after all that
            could be had was given.
        UnreadableSourceError: if the file is UTF-16, or is not compressed as its suffix says.
    """
    blocks = _of_block_size(_decompressed(path))
    first = next(blocks, None)
    if first is None:
        return
    if first.startswith(UTF16_BOMS):  # that of UTF-32 begins so as well
        raise UnreadableSourceError(
            f"{path.name} is UTF-16 or UTF-32; convert it to UTF-8, as with "
            "`iconv -f UTF-16 -t UTF-8`"
        )
    yield first.removeprefix(UTF8_BOM)
    yield from blocks


def _of_block_size(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    try:
        for piece in pieces:
            gathered += piece
            if len(gathered) >= BLOCK_BYTES:
                yield bytes(gathered)
                gathered.clear()
    except BrokenStreamError:
        if gathered:  # the rows before the damage are good
            yield bytes(gathered)
        raise
    if gathered:
        yield bytes(gathered)


def _decompressed(path: Path) -> Iterator[bytes]:
    new = DECOMPRESSORS.get(path.suffix.lower())
    size = COMPRESSED_BYTES if new else BLOCK_BYTES
    with path.open("rb") as file:
        blocks = iter(lambda: file.read(size), b"")
        yield from _members(blocks, new, path.name) if new else blocks


def _members(
    blocks: Iterator[bytes], new: Callable[[], Decompressor], name: str
) -> Iterator[bytes]:
    """Decompress members one after another; zero bytes may pad the space between them."""
    first = next(blocks, b"")
    if not first:
        raise UnreadableSourceError(f"{name} is empty: a compressed file has a header at least")
    is_of_kind = first.startswith(MAGIC[Path(name).suffix.lower()])
    member, given = new(), 0
    pending = False  # whether the member has begun and not ended
    try:
        for block in chain([first], blocks):
            left = block
            while left := left.lstrip(b"\0") if not pending else left:
                piece = member.decompress(left)
                given += len(piece)
                yield piece
                pending, left = not member.eof, member.unused_data
                member = member if pending else new()
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        if not is_of_kind:
            raise UnreadableSourceError(f"{name} is not compressed as its suffix says") from error
        raise BrokenStreamError(f"damaged after {given} bytes of text: {error}") from error
    if pending:
        raise BrokenStreamError(f"ends early, after {given} bytes of text")
