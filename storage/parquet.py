"""Parquet in and out: written under a temporary name and renamed, so that a file is whole."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.places import writing_to


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write under, renamed once the block is left well; nothing stays of it otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with writing_to(path):
            yield partial
            partial.rename(path)
    finally:
        if partial.exists():
            partial.unlink()


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table; a process killed on the way leaves no file under the final name."""
    with written_whole(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_parquet(path: Path) -> pa.Table:
    """Read a whole file."""
    return pq.read_table(path, partitioning=None)


def count_rows(path: Path) -> int:
    """Rows of a file, without reading them."""
    return int(pq.read_metadata(path).num_rows)


def concatenate_parquet(paths: Sequence[Path], target: Path) -> None:
    """Write the rows of files with one schema into one file, a row group at a time."""
    with (
        written_whole(target) as partial,
        pq.ParquetWriter(partial, pq.read_schema(paths[0]), compression="zstd") as writer,
    ):
        for path in paths:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))
