"""How many rows and tokens a source can have at most, told without reading it row by row."""

from pathlib import Path

from pyarrow import parquet

from pipeline.ingest.readers import SourceFormat, UnreadableSourceError, find_format

BLOCK_BYTES = 2**20  # of a file whose lines are counted

PLAIN_LINES = (".jsonl", ".ndjson")
PLAIN_TEXT = (*PLAIN_LINES, ".json", ".csv", ".tsv")  # suffixes of files that are not compressed


def bound_rows(name: str, format: str | None) -> int | None:
    """The most rows a source can have; None where that cannot be told without reading it."""
    try:
        kind = find_format(name, format)
    except UnreadableSourceError:
        return None
    if kind == "parquet":
        return int(parquet.read_metadata(name).num_rows)
    if kind != "jsonl" or not name.endswith(PLAIN_LINES):
        return None
    lines, last = 0, b"\n"
    with open(name, "rb") as file:
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")  # a last line without its end is one more


def bound_tokens(name: str, format: SourceFormat | None) -> int | None:
    """The most tokens a source can hold: its bytes, where they are text; else None."""
    return Path(name).stat().st_size if name.endswith(PLAIN_TEXT) else None
