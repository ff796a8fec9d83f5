"""The answer of a query as a file: Parquet, CSV or JSON lines, by the name's ending."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import orjson
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from storage.database import QueryError
from storage.error_notes import whole_file


def write_answer(rows: pa.RecordBatchReader, path: Path) -> int:
    """Write the rows of a query, whole or not at all; return how many there are.

    Raises:
        QueryError: if the name of the file does not say what it is to be.
        OSError: if it cannot be written.
    """
    write = WRITERS.get(path.suffix)
    if write is None:
        raise QueryError(f"{path} is none of {', '.join(f'FILE{ending}' for ending in WRITERS)}")
    count = 0

    def counted() -> Iterable[pa.RecordBatch]:
        nonlocal count
        for batch in rows:
            count += batch.num_rows
            yield batch

    with whole_file(path) as partial, partial.open("wb") as file:
        write(rows.schema, counted(), file)
    return count


def write_parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: BinaryIO) -> None:
    """One row group for each batch."""
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: BinaryIO) -> None:
    """With a heading; a list or an object is written as JSON, for CSV has none."""
    flat = pa.schema(
        [field.with_type(pa.string()) if is_nested(field.type) else field for field in schema]
    )
    with pc.CSVWriter(file, flat) as writer:
        for batch in batches:
            columns = [
                pa.array([None if each is None else to_json(each) for each in column.to_pylist()])
                if is_nested(column.type)
                else column
                for column in batch.columns
            ]
            writer.write_batch(pa.record_batch(columns, schema=flat))


def write_jsonl(schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: BinaryIO) -> None:
    """An object for each row."""
    for batch in batches:
        for row in batch.to_pylist():
            file.write(to_json(row).encode() + b"\n")


def is_nested(kind: pa.DataType) -> bool:
    """Whether values of a type are lists or objects."""
    return bool(pa.types.is_nested(kind))


def to_json(value: object) -> str:
    """A value as JSON; dates and the like as text."""
    return orjson.dumps(value, default=str).decode()


WRITERS = {".parquet": write_parquet, ".csv": write_csv, ".jsonl": write_jsonl}
