"""Parquet in and out: written under a temporary name and renamed, so that a file is whole."""

import os
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
