"""Columns of a Parquet file whose dictionary is large: decoded, they may take any memory.

A text of 20 MB that stands in every row is in the file once, and a few KB there. Decoded it is as
many texts as there are rows, so such columns are read as dictionaries. How large one is stands in
the header of its page and nowhere in the footer. Format: apache/parquet-format, parquet.thrift.
"""

from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq

USUAL_BYTES = 2**21
"""Of a dictionary: writers end one at 1 MiB, and are late by the values that they write at once."""

HEADER_BYTES = 64  # more than the two fields need that are read


def large_dictionaries(path: Path, metadata: pq.FileMetaData) -> list[str]:
    """Paths of the columns with a dictionary that is larger than writers make it, sorted."""
    found: set[str] = set()
    with path.open("rb") as file:
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
                    file.seek(column.dictionary_page_offset)
                    if page_bytes(file) > USUAL_BYTES:
                        found.add(column.path_in_schema)
    return sorted(found)


def page_bytes(file: BinaryIO) -> int:
    """Uncompressed bytes of the page whose header begins here; 0 where it is none.

    The header is a struct in Thrift's compact protocol: before each field a byte, 0x15 for a 32-bit
    integer with the next id. The first is the kind of the page, the second its size.
    """
    header = file.read(HEADER_BYTES)
    if header[:1] != b"\x15":
        return 0
    _, at = _read_integer(header, 1)
    return _read_integer(header, at + 1)[0] if header[at : at + 1] == b"\x15" else 0


def _read_integer(header: bytes, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the lowest first, its sign in the last; and its end."""
    value, length = 0, 0
    for length, byte in enumerate(header[at:], 1):
        value |= (byte & 0x7F) << 7 * (length - 1)
        if byte < 0x80:
            break
    return (value >> 1) ^ -(value & 1), at + length
