"""Rows of columnar sources: Parquet, and what the `datasets` library keeps as Arrow.

Arrow gives every struct of a column the same keys and fills those a row does not have with null. So
null and absent cannot be told apart, and both are read as absent, at every depth.
"""

import base64
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.dictionary_pages import large_dictionaries
from pipeline.ingest.row_sizes import measure_rows, slice_by_bytes
from pipeline.ingest.rows import RawRow, UnreadableRow, UnreadableSourceError, too_large
from pipeline.ingest.strict_json import holds_nul

BATCH_ROWS = 256  # rows that are Python objects at a time, and what one bad text costs in speed
BATCH_BYTES = 2**24  # of them, decoded
GROUP_BYTES = 2**26  # a row group that is larger is read fewer rows at a time

UNCONVERTIBLE = (ValueError, OverflowError, KeyError)
"""What pyarrow raises at a cell: bad UTF-8, a time that Python has no room for, no such zone."""


class Time:
    """A time, date or duration as Arrow counts it: no text, so no shape takes it for one."""

    def __init__(self, count: str) -> None:
        self.count = count


def read_parquet(path: Path, limit: int) -> Iterator[RawRow | UnreadableRow]:
    """Read rows of at most `limit` bytes of JSON; those of a damaged row group are unreadable.

    Raises:
        UnreadableSourceError: if the file's footer cannot be read.
    """
    if not path.stat().st_size:
        raise UnreadableSourceError(f"{path.name} cannot be read as Parquet: it is empty")
    try:
        metadata = pq.read_metadata(path)
        large = large_dictionaries(path, metadata)
        file = pq.ParquetFile(path, read_dictionary=large, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableSourceError(f"{path.name} cannot be read as Parquet: {error}") from error
    _require_distinct(file.schema_arrow.names, path.name)
    with file:
        start = 1
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            position = start
            try:
                rows = _rows_at_once(metadata.row_group(group))
                for batch in file.iter_batches(rows, row_groups=[group]):
                    yield from read_batch(batch, position, limit)
                    position += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                detail = f"row group {group} is damaged: {error}"
                for lost in range(position, end):  # the footer says how many: each is accounted for
                    yield UnreadableRow(lost, "broken_file", detail, b"")
            start = end  # the next group can be read, whatever became of this one


def _rows_at_once(group: pq.RowGroupMetaData) -> int:
    """How many rows of a group are decoded together: all of a large one may be in a few rows."""
    rows, group_bytes = int(group.num_rows), int(group.total_byte_size)
    columns = map(group.column, range(group.num_columns))
    values = max((int(column.num_values) for column in columns), default=0)  # elements, of a list
    for_values = 4 * BATCH_ROWS * rows // max(1, values)
    for_bytes = BATCH_ROWS * GROUP_BYTES // max(1, group_bytes)
    return max(1, min(BATCH_ROWS, for_values, for_bytes))


def _require_distinct(names: list[str], source: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UnreadableSourceError(f"{source} has columns of one name: {', '.join(twice)}")


def read_batch(batch: pa.RecordBatch, start: int, limit: int) -> Iterator[RawRow | UnreadableRow]:
    """Turn Arrow rows into JSON rows of at most `limit` bytes; the first stands at `start`."""
    if batch.nbytes <= BATCH_BYTES and not any(map(_has_dictionary, batch.schema.types)):
        yield from _read_rows(batch, start, limit)
        return
    sizes = measure_rows(batch)
    for first, end in slice_by_bytes(sizes, BATCH_BYTES):
        if end == first + 1 and sizes[first] > max(2 * limit, BATCH_BYTES):
            detail = f"the row has about {sizes[first]} bytes, more than {limit}; none is kept"
            yield UnreadableRow(start + first, "too_large", detail, b"")
        else:  # how large its JSON is, and what is kept of it, is seen when it is there
            yield from _read_rows(batch.slice(first, end - first), start + first, limit)


def _has_dictionary(kind: pa.DataType) -> bool:
    """Whether values of a type may be written out once and stand in many rows."""
    within = (kind.field(i).type for i in range(kind.num_fields))
    return pa.types.is_dictionary(kind) or any(map(_has_dictionary, within))


def _read_rows(batch: pa.RecordBatch, start: int, limit: int) -> Iterator[RawRow | UnreadableRow]:
    batch, counted = _with_counts(batch, _may_count_nanoseconds)
    try:
        values = batch.to_pylist()
    except UNCONVERTIBLE:  # of some row; asked one by one, the others can be had
        for i in range(batch.num_rows):
            yield _convert_alone(batch.slice(i, 1), counted, start + i, limit)
        return
    for position, value in enumerate(values, start):
        yield _convert(value, counted, position, limit)


def _may_count_nanoseconds(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.TimestampType | pa.Time64Type | pa.DurationType)


def _with_counts(
    batch: pa.RecordBatch, is_counted: Callable[[pa.DataType], bool]
) -> tuple[pa.RecordBatch, list[str]]:
    """Write columns of times as counts, for which Python always has room; also give their names."""
    names = [field.name for field in batch.schema if is_counted(field.type)]
    columns = [
        column.view(pa.int32() if column.type.bit_width == 32 else pa.int64()).cast(pa.string())
        if name in names
        else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names), names


def _convert_alone(
    row: pa.RecordBatch, counted: list[str], position: int, limit: int
) -> RawRow | UnreadableRow:
    """Convert one row of a batch in which some row cannot be converted."""
    row, dates = _with_counts(row, pa.types.is_date)  # Python has none before 1 or after 9999
    try:
        value = row.to_pylist()[0]
    except UNCONVERTIBLE as error:
        raw = _as_stream(row)
        if isinstance(error, UnicodeDecodeError):
            detail = "a text is not UTF-8; raw is an Arrow stream of the row"
            return UnreadableRow(position, "invalid_utf8", detail, raw)
        detail = f"a date or time cannot be had: {error}; raw is an Arrow stream of the row"
        return UnreadableRow(position, "number_out_of_range", detail, raw)
    return _convert(value, [*counted, *dates], position, limit)


def _as_stream(row: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_batch(row)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def _convert(
    value: dict[str, Any], counted: list[str], position: int, limit: int
) -> RawRow | UnreadableRow:
    for name in counted:
        value[name] = None if value[name] is None else Time(value[name])
    raw = orjson.dumps(value, default=_as_text)
    if len(raw) > limit:
        return too_large(position, raw, limit)
    # The bytes are asked first, for that is fast; they may also be a backslash and "u0000".
    if b"\\u0000" in raw and holds_nul(value):
        return UnreadableRow(position, "nul_character", "a text holds \\u0000", raw)
    return RawRow(position, _without_nulls(value), raw)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Time):
        return value.count
    if isinstance(value, Decimal):
        return str(value)
    return repr(value)


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 (JSON is any value)
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
