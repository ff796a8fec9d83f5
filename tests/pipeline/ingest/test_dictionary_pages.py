"""Large dictionaries are found by the header of their page."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.ingest.dictionary_pages import large_dictionaries, page_bytes

LARGE = "text" * 600_000


def written(path: Path, table: pa.Table, version: str = "1.0") -> list[str]:
    pq.write_table(
        table, path, dictionary_pagesize_limit=2**30, compression="zstd", data_page_version=version
    )
    return large_dictionaries(path, pq.read_metadata(path))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_columns_with_large_dictionaries_are_named(tmp_path: Path, version: str) -> None:
    turns = [[{"role": "user", "content": LARGE}]] * 3
    table = pa.table({"a": [LARGE] * 3, "b": ["short"] * 3, "n": [1, 2, 3], "turns": turns})
    found = written(tmp_path / "rows.parquet", table, version)
    assert found == ["a", "turns.list.element.content"]


def test_one_row_group_of_several_is_enough(tmp_path: Path) -> None:
    table = pa.table({"a": ["short"] * 3 + [LARGE]})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path, row_group_size=3, dictionary_pagesize_limit=2**30)
    assert large_dictionaries(path, pq.read_metadata(path)) == ["a"]


def test_what_writers_make_is_not_large(tmp_path: Path) -> None:
    table = pa.table({"a": [f"{n:09}" * 30 for n in range(10_000)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    path = tmp_path / "rows.parquet"
    assert large_dictionaries(path, pq.read_metadata(path)) == []
    assert written(tmp_path / "empty.parquet", pa.table({"a": pa.array([], pa.string())})) == []


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (b"\x15\x04\x15\x06\x15\x02", 3),  # 2 and 3, each doubled for its sign
        (b"\x15\x04\x15\x80\x01\x15\x02", 64),
        (b"\x15\x04\x25\x06", 0),
        (b"PAR1", 0),
        (b"", 0),
        (b"\x15", 0),
    ],
)
def test_the_size_is_the_second_number_of_a_header(header: bytes, size: int) -> None:
    assert page_bytes(io.BytesIO(header)) == size
