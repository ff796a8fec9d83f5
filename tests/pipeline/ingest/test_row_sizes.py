"""Sizes of rows before they are decoded."""

import orjson
import pyarrow as pa
import pytest

from pipeline.ingest.row_sizes import measure_rows, measure_values, slice_by_bytes

TEXTS = ["", "a" * 1000, None, "é" * 500, "b" * 70_000]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_a_text_has_its_bytes_however_it_is_held(kind: pa.DataType) -> None:
    texts = [text and text.encode() for text in TEXTS] if kind == pa.binary() else TEXTS
    plain = pa.array(texts, pa.binary() if kind == pa.binary() else pa.string())
    column = plain.dictionary_encode() if pa.types.is_dictionary(kind) else plain.cast(kind)
    assert [size // 1000 for size in measure_values(column)] == [0, 1, 0, 1, 70]
    assert [size // 1000 for size in measure_values(column[3:])] == [1, 70]


def test_rows_have_about_the_bytes_of_their_json() -> None:
    rows = [
        {"turns": [{"role": "user", "content": "x" * n}] * k, "tags": {"a": "y" * n}, "n": k}
        for n, k in ((10, 3), (100_000, 2), (5, 0))
    ]
    batch = pa.RecordBatch.from_pylist([*rows, {"turns": None, "tags": None, "n": None}])
    for part in (batch, batch.slice(1)):
        for size, row in zip(measure_rows(part), part.to_pylist(), strict=True):
            assert 0.5 * len(orjson.dumps(row)) - 50 < size < 2 * len(orjson.dumps(row)) + 100


def test_maps_and_fixed_lists_are_measured() -> None:
    pairs = pa.array([[("k", "v" * 900)], []], pa.map_(pa.string(), pa.string()))
    assert [size > 900 for size in measure_values(pairs)] == [True, False]
    fixed = pa.array([["x" * 900], ["y"]], pa.list_(pa.string(), 1))
    assert min(measure_values(fixed)) > 900  # of no row less than of all


@pytest.mark.parametrize(
    ("sizes", "cuts"),
    [
        ([], []),
        ([5], [(0, 1)]),
        ([50, 1, 1, 50, 50], [(0, 1), (1, 3), (3, 4), (4, 5)]),
        ([4, 4, 4, 4], [(0, 2), (2, 4)]),
        ([10, 1], [(0, 1), (1, 2)]),
    ],
)
def test_rows_are_cut_into_slices(sizes: list[int], cuts: list[tuple[int, int]]) -> None:
    import numpy as np

    assert list(slice_by_bytes(np.array(sizes, np.int64), 10)) == cuts
