import csv
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.database import QueryError
from storage.query_files import write_answer

QUERY = """
select * from (values
    (1, 'a,"b"', [1, 2], date '2026-01-02', 0.5),
    (2, null, null, null, null),
    (3, 'é', [], date '2026-01-03', 1.5)
) as t (n, text, list, day, share)
"""


def rows(batch: int = 2) -> pa.RecordBatchReader:
    return duckdb.connect().execute(QUERY).to_arrow_reader(batch)


def test_parquet_has_the_types_of_the_query(tmp_path: Path) -> None:
    assert write_answer(rows(), tmp_path / "a.parquet") == 3
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["n"].to_pylist() == [1, 2, 3]
    assert table["list"].to_pylist() == [[1, 2], None, []]


def test_csv_has_a_heading_and_lists_as_json(tmp_path: Path) -> None:
    assert write_answer(rows(), tmp_path / "a.csv") == 3
    with (tmp_path / "a.csv").open(newline="") as file:
        written = list(csv.reader(file))
    assert written == [
        ["n", "text", "list", "day", "share"],
        ["1", 'a,"b"', "[1,2]", "2026-01-02", "0.5"],
        ["2", "", "", "", ""],
        ["3", "é", "[]", "2026-01-03", "1.5"],
    ]


def test_jsonl_has_an_object_for_each_row(tmp_path: Path) -> None:
    assert write_answer(rows(), tmp_path / "a.jsonl") == 3
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "n": 1,
        "text": 'a,"b"',
        "list": [1, 2],
        "day": "2026-01-02",
        "share": "0.5",
    }
    assert json.loads(lines[1])["list"] is None


def test_another_ending_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"none of FILE\.parquet, FILE\.csv, FILE\.jsonl"):
        write_answer(rows(), tmp_path / "a.xlsx")
    assert list(tmp_path.iterdir()) == []
