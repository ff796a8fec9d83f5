"""Read a source row by row, in memory that does not grow with it.

Every physical row gives one item, in order: a RawRow, or an UnreadableRow with its bytes. Blank
lines are no rows. A file that breaks off gives one more UnreadableRow, `broken_file`, in the place
where it broke, so that what was read before is kept and the loss is seen.
"""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pipeline.ingest.columnar import read_parquet
from pipeline.ingest.compression import DECOMPRESSORS, BrokenStreamError, read_blocks
from pipeline.ingest.csv_rows import MANY_LINES, TallRow, read_csv_rows
from pipeline.ingest.hub_datasets import (
    HUB_PREFIX,
    is_saved_dataset,
    read_hub_dataset,
    read_saved_dataset,
)
from pipeline.ingest.json_arrays import read_elements
from pipeline.ingest.json_lines import require_json_lines
from pipeline.ingest.lines import end_with_line_feeds, read_lines
from pipeline.ingest.rows import (
    MAX_ROW_BYTES,
    OversizedRow,
    RawRow,
    UnreadableRow,
    UnreadableSourceError,
    read_json_row,
)
from pipeline.ingest.source_files import hash_source, require_readable
from storage.visible import harmless

__all__ = [
    "HUB_PREFIX",
    "MOST_ROW_BYTES",
    "RawRow",
    "SourceFormat",
    "UnreadableRow",
    "UnreadableSourceError",
    "read_rows",
    "source_fingerprint",
]

logger = logging.getLogger(__name__)

MOST_NAMED = 3  # rows of many lines of which a message says where they are

SourceFormat: TypeAlias = Literal["jsonl", "json", "csv", "parquet", "dataset", "hub"]

FORMATS: tuple[SourceFormat, ...] = get_args(SourceFormat)

SUFFIXES: dict[str, SourceFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",  # the others also with .gz, .xz or .zst behind them
}

ReadRows: TypeAlias = Iterator[RawRow | UnreadableRow]

MOST_ROW_BYTES = 10**9
"""What a recipe may ask for at most: DuckDB has room for a text of 4 GiB, escapes included."""

FINGERPRINT_LENGTH = 32  # hex digits: 128 bits


def read_rows(
    source: Path | str, format: str | None = None, max_row_bytes: int = MAX_ROW_BYTES
) -> ReadRows:
    """Read all rows of a source.

    Args:
        source: a file, a directory written by `save_to_disk`, or "hub:organisation/name".
        format: what the source is, a SourceFormat; None to go by its suffix.
        max_row_bytes: a longer row is not parsed and comes as `too_large`.

    Returns:
        Rows in the order of the source. Rows of a Parquet file or a dataset have their JSON as
        `raw`, since they have no bytes of their own.

    Raises:
        UnreadableSourceError: if there is no such source, or its format is not known; and while
            rows are read, if it turns out not to be of that format at all.
        ValueError: if max_row_bytes is not in [1, 10^9].
    """
    if not 1 <= max_row_bytes <= MOST_ROW_BYTES:
        raise ValueError(f"expected max_row_bytes in [1, {MOST_ROW_BYTES}], got {max_row_bytes}")
    kind = find_format(source, format)
    if kind == "hub":
        return read_hub_dataset(str(source), max_row_bytes)
    path = Path(source)
    require_readable(path)
    if path.is_dir() != (kind == "dataset"):
        seen = "a directory" if path.is_dir() else "a file"
        raise UnreadableSourceError(f"{path} is {seen}, and cannot be of the format {kind}")
    readers = {
        "dataset": read_saved_dataset,
        "parquet": read_parquet,
        "csv": _read_csv,
        "json": _read_json,
        "jsonl": _read_jsonl,
    }
    return readers[kind](path, max_row_bytes)


def find_format(source: Path | str, format: str | None = None) -> SourceFormat:
    """The format of a source: the one that was named, or the one its name shows.

    Raises:
        UnreadableSourceError: if the format named, or the suffix, is not known.
    """
    if format is not None:
        if format not in FORMATS:
            raise UnreadableSourceError(f"no format {format!r}; there are: {', '.join(FORMATS)}")
        return FORMATS[FORMATS.index(format)]
    if str(source).startswith(HUB_PREFIX):
        return "hub"
    path = Path(source)
    if path.is_dir() and is_saved_dataset(path):
        return "dataset"
    compressed = path.suffix.lower() in DECOMPRESSORS
    suffix = Path(path.stem if compressed else path.name).suffix.lower()
    kind = SUFFIXES.get(suffix)
    if kind is None or (compressed and kind == "parquet"):
        raise UnreadableSourceError(
            f"cannot tell the format of {path.name}. Known: {', '.join(SUFFIXES)} (text also with "
            f"{', '.join(DECOMPRESSORS)} behind), a directory written by save_to_disk, "
            f"{HUB_PREFIX}organisation/name; or name the format"
        )
    return kind


def source_fingerprint(source: Path | str) -> str:
    """Hash the content of a source, whatever its name; 32 hex digits of SHA-256.

    A file is hashed by its bytes, a directory by the names and bytes of its files, and a dataset
    of the hub by its rows.

    Raises:
        UnreadableSourceError: if there is no such source.
    """
    if not str(source).startswith(HUB_PREFIX):
        require_readable(Path(source))
        return hash_source(Path(source))[:FINGERPRINT_LENGTH]
    digest = hashlib.sha256()
    for row in read_rows(source):  # its length first: "ab", "c" is not "a", "bc"
        digest.update(b"%d:" % len(row.raw) + row.raw)
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def _read_jsonl(path: Path, limit: int) -> ReadRows:
    lines = require_json_lines(read_lines(end_with_line_feeds(read_blocks(path)), limit))
    return _read_texts(path, lines, limit, blank_rows=False)


def _read_json(path: Path, limit: int) -> ReadRows:
    return _read_texts(path, read_elements(read_blocks(path), limit), limit, blank_rows=True)


def _read_texts(
    path: Path, texts: Iterator[bytes | OversizedRow], limit: int, *, blank_rows: bool
) -> ReadRows:
    position = 0  # counts blank lines too: it is the number that an editor shows
    try:
        for position, text in enumerate(texts, 1):
            if isinstance(text, OversizedRow):
                yield text.unreadable(position)
            elif blank_rows or (text and not text.isspace()):
                yield read_json_row(position, text, limit)
    except BrokenStreamError as error:
        yield UnreadableRow(position + 1, "broken_file", f"{path.name} {error}", error.rest)


def _read_csv(path: Path, limit: int) -> ReadRows:
    position = 0
    lines = read_lines(end_with_line_feeds(read_blocks(path)), limit)
    tall: list[TallRow] = []
    try:
        for row in read_csv_rows(lines, limit, tall):
            position = row.position
            yield row
    except BrokenStreamError as error:
        yield UnreadableRow(position + 1, "broken_file", f"{path.name} {error}", error.rest)
    if tall:
        shown = [f"{row.line} ({row.lines} lines)" for row in tall[:MOST_NAMED]]
        logger.warning(
            "%s: %d rows have more than %d lines, the first from line %s on: they are read as they "
            "are; where that is not meant, a quote is not closed",
            harmless(path.name),
            len(tall),
            MANY_LINES,
            ", ".join(shown),
        )
