"""Parquet in and out: written under a temporary name and renamed, so that a file is whole."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table; a process killed on the way leaves no file under the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    pq.write_table(table, partial, compression="zstd")
    partial.rename(path)


def read_parquet(path: Path) -> pa.Table:
    """Read a whole file."""
    return pq.read_table(path, partitioning=None)


def count_rows(path: Path) -> int:
    """Rows of a file, without reading them."""
    return int(pq.read_metadata(path).num_rows)


def concatenate_parquet(paths: Sequence[Path], target: Path) -> None:
    """Write the rows of files with one schema into one file, a row group at a time."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with pq.ParquetWriter(partial, pq.read_schema(paths[0]), compression="zstd") as writer:
        for path in paths:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))
    partial.rename(target)
