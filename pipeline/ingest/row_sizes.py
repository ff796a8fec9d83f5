"""How many bytes the rows of Arrow columns are once they are decoded, told before they are.

A text that stands in a column a thousand times is there once, in its dictionary; decoded it is
there a thousand times. So it is measured where it stands once.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Sizes = NDArray[np.int64]

SCALAR_BYTES = 16  # of a number, a time or a null, as JSON


def measure_rows(batch: pa.RecordBatch) -> Sizes:
    """Bytes of each row, about as many as its JSON has."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        sizes += measure_values(column) + len(name)
    return sizes


def measure_values(column: pa.Array) -> Sizes:
    """Bytes of each value of an array, through lists and structs."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        each = np.append(measure_values(column.dictionary), SCALAR_BYTES)
        places = column.indices.cast(pa.int64()).fill_null(len(each) - 1)
        sizes: Sizes = each[places.to_numpy(zero_copy_only=False)]
        return sizes
    if pa.types.is_struct(kind):
        fields = [measure_values(column.field(i)) + len(kind[i].name) for i in range(len(kind))]
        within: Sizes = np.add.reduce([_scalars(column), *fields])
        return within
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _measure_lists(column)
    if pa.types.is_fixed_size_list(kind):
        return _scalars(column) + int(column.nbytes)  # of all: no row of it is taken for less
    if _is_text(kind):
        lengths = pc.binary_length(column).cast(pa.int64()).fill_null(0)
        texts: Sizes = _scalars(column) + lengths.to_numpy(zero_copy_only=False)
        return texts
    return _scalars(column)


def slice_by_bytes(sizes: Sizes, most: int) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of at most so many bytes, each a start and an end; a row is never cut."""
    start, total = 0, 0
    for row, size in enumerate(sizes.tolist()):
        if row > start and total + size > most:
            yield start, row
            start, total = row, 0
        total += size
    if start < len(sizes):
        yield start, len(sizes)


def _measure_lists(column: pa.Array) -> Sizes:
    if pa.types.is_map(column.type):
        each = measure_values(column.keys) + measure_values(column.items)
    else:
        each = measure_values(column.values)
    before = np.concatenate([[0], np.cumsum(each)])
    offsets = column.offsets.to_numpy()
    sizes: Sizes = before[offsets[1:]] - before[offsets[:-1]] + SCALAR_BYTES
    return sizes


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def _scalars(column: pa.Array) -> Sizes:
    return np.full(len(column), SCALAR_BYTES, np.int64)
