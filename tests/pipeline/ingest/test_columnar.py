import json
import tracemalloc
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.ingest.columnar import BATCH_ROWS, read_batch, read_parquet
from pipeline.ingest.rows import (
    RawRow,
    UnreadableRow,
    UnreadableRowError,
    UnreadableSourceError,
)
from pipeline.ingest.shapes import read_conversation

LIMIT = 10_000

ASK = {"role": "user", "content": "How warm is it?"}
ANSWER = {"role": "assistant", "content": "Three."}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"city": "Oslo"}}}
OTHER_CALL = {"id": "2", "type": "function", "function": {"name": "g", "arguments": {"n": 1}}}
ROWS: list[dict[str, Any]] = [
    {"messages": [ASK, ANSWER], "tools": None},
    {
        "messages": [
            ASK,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "3", "tool_call_id": "1"},
            {**ANSWER, "reasoning_content": "Let me see."},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d"}}],
    },
    {
        "messages": [
            {"role": "user", "content": "n?", "name": "Ada"},
            {"role": "assistant", "tool_calls": [OTHER_CALL], "weight": 1},
        ],
        "tools": [{"function": {"name": "g", "strict": True}}],
    },
]


def write(folder: Path, table: pa.Table, **options: int | bool | str) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(table, path, **options)
    return path


def values(path: Path) -> list[dict[str, Any]]:
    rows = list(read_parquet(path, LIMIT))
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    return [row.value for row in rows if isinstance(row, RawRow)]


def test_keys_that_arrow_filled_with_null_are_absent(tmp_path: Path) -> None:
    path = write(tmp_path, pa.Table.from_pylist(ROWS))
    assert None in pq.read_table(path).to_pylist()[0]["messages"][0].values()
    read = [read_conversation(value)[0] for value in values(path)]
    assert read == [read_conversation(row)[0] for row in ROWS]
    assert read[1].messages[1]["tool_calls"] == [CALL]


def test_tools_and_arguments_may_be_json_strings(tmp_path: Path) -> None:
    def as_text(value: object) -> object:
        if isinstance(value, list):
            return [as_text(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: json.dumps(item) if key in ("tools", "arguments") and item else as_text(item)
            for key, item in value.items()
        }

    path = write(tmp_path, pa.Table.from_pylist(as_text(ROWS)))
    read = [read_conversation(value)[0] for value in values(path)]
    assert read == [read_conversation(row)[0] for row in ROWS]


def test_columns_nobody_reads_never_cost_a_row(tmp_path: Path) -> None:
    table = pa.table(
        {
            "prompt": ["a", "b"],
            "completion": ["c", "d"],
            "nan": [float("nan"), float("inf")],
            "thumbnail": [b"\xff\x00", None],
            "price": [Decimal("1.5"), None],
            "day": pa.array([19000, None], pa.date32()),
            "at": pa.array([1, 2**62], pa.timestamp("ns", "Europe/Oslo")),
            "far": pa.array([2**62, None], pa.timestamp("us")),
            "took": [timedelta(days=1), None],
            "clock": [time(12, 30), None],
            "now": [datetime(2020, 1, 1, tzinfo=UTC), None],
            "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    read = [
        read_conversation(value)[0].messages[1]["content"]
        for value in values(write(tmp_path, table))
    ]
    assert read == ["c", "d"]


NOT_TEXTS = {
    "timestamp": pa.array([1704112245000000], pa.timestamp("us")),
    "zone": pa.array([1], pa.timestamp("ns", "Europe/Oslo")),
    "time": pa.array([5], pa.time64("ns")),
    "seconds": pa.array([5], pa.time32("s")),
    "duration": pa.array([7200000000], pa.duration("us")),
    "date": pa.array([19000], pa.date32()),
    "milliseconds": pa.array([86400000], pa.date64()),
    "decimal": pa.array([Decimal("1.50")]),
    "bytes": pa.array([b"yes"]),
    "number": pa.array([4]),
    "float": pa.array([0.5]),
    "flag": pa.array([True]),
}


@pytest.mark.parametrize("answer", NOT_TEXTS.values(), ids=NOT_TEXTS)
@pytest.mark.parametrize("nested", [False, True], ids=["column", "turn"])
def test_what_is_no_text_is_no_answer(tmp_path: Path, answer: pa.Array, nested: bool) -> None:
    columns: dict = {"prompt": ["q"], "completion": answer}
    if nested:
        turn = pa.StructArray.from_arrays([pa.array(["assistant"]), answer], ["role", "content"])
        columns["completion"] = pa.ListArray.from_arrays([0, 1], turn)
    (value,) = values(write(tmp_path, pa.table(columns)))
    with pytest.raises(UnreadableRowError, match="wrong_type"):
        read_conversation(value)


def test_a_time_that_python_has_no_room_for_costs_its_row_only() -> None:
    far = pa.array([2**40, 0, None], pa.int64()).cast(pa.timestamp("s"))
    columns = {
        "prompt": pa.array(["a", "b", "c"]),
        "day": pa.array([10**9, 0, None], pa.int32()).cast(pa.date32()),  # nobody's content
        "turn": pa.StructArray.from_arrays([far], ["at"]),
    }
    first, *others = read_batch(pa.record_batch(columns), 1, LIMIT)
    assert isinstance(first, UnreadableRow) and first.reason == "number_out_of_range"
    assert [row.value["prompt"] for row in others if isinstance(row, RawRow)] == ["b", "c"]
    del columns["turn"]
    rows = list(read_batch(pa.record_batch(columns), 1, LIMIT))
    assert [json.loads(row.raw)["day"] for row in rows] == ["1000000000", "0", None]
    assert all(isinstance(row, RawRow) for row in rows)


def test_raw_is_the_row_as_json(tmp_path: Path) -> None:
    row = next(read_parquet(write(tmp_path, pa.Table.from_pylist(ROWS)), LIMIT))
    assert json.loads(row.raw) == pa.Table.from_pylist(ROWS).to_pylist()[0]


def test_a_text_that_is_no_text_costs_its_row() -> None:
    offsets = pa.array([0, 2, 4, 6], pa.int32()).buffers()[1]
    texts = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"ab\xff\xfecd"))
    batch = pa.record_batch({"prompt": texts, "completion": ["x", "y", "z"]})
    first, second, third = read_batch(batch, 7, LIMIT)
    assert isinstance(first, RawRow) and first.value == {"prompt": "ab", "completion": "x"}
    assert isinstance(third, RawRow) and third.position == 9
    assert isinstance(second, UnreadableRow)
    assert (second.position, second.reason) == (8, "invalid_utf8")
    kept = pa.ipc.open_stream(second.raw).read_next_batch()
    assert kept.column(0).cast(pa.binary()).to_pylist() == [b"\xff\xfe"]


@pytest.mark.parametrize(
    ("text", "reason"), [("a\0b", "nul_character"), ("x" * LIMIT, "too_large"), ("\\u0000", None)]
)
def test_bad_rows_are_named(text: str, reason: str | None) -> None:
    rows = list(read_batch(pa.record_batch({"a": ["ok", text, "ok"]}), 1, LIMIT))
    assert [getattr(row, "reason", None) for row in rows] == [None, reason, None]
    assert json.loads(rows[1].raw) == {"a": text}


def test_many_batches_are_counted_through(tmp_path: Path) -> None:
    count = 3 * BATCH_ROWS + 1
    table = pa.table({"n": range(count)})
    assert values(write(tmp_path, table, row_group_size=BATCH_ROWS + 7)) == [
        {"n": n} for n in range(count)
    ]


def test_a_damaged_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    table = pa.table({"n": range(3000)})
    path = write(
        tmp_path,
        table,
        row_group_size=1000,
        write_page_checksum=True,
        use_dictionary=False,
        compression="NONE",
    )
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    content[middle : middle + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    rows = list(read_parquet(path, LIMIT))
    assert [row.position for row in rows] == list(range(1, 3001))
    assert [row.value["n"] for row in rows if isinstance(row, RawRow)] == [
        *range(1000),
        *range(2000, 3000),
    ]
    lost = [row for row in rows if isinstance(row, UnreadableRow)]
    assert {row.reason for row in lost} == {"broken_file"}
    assert "row group 1 is damaged" in lost[0].detail


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for content in (b"", b"PAR1", b"not parquet at all"):
        path.write_bytes(content)
        with pytest.raises(UnreadableSourceError, match=r"rows.parquet cannot be read as Parquet"):
            list(read_parquet(path, LIMIT))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(UnreadableSourceError, match=r"rows\.parquet has columns of one name: a"):
        list(read_parquet(path, LIMIT))


def test_a_huge_text_in_every_row_is_decoded_a_few_rows_at_a_time(tmp_path: Path) -> None:
    path, text = tmp_path / "rows.parquet", "ab c" * 600_000
    turns = [
        [{"role": "user", "content": text}, {"role": "assistant", "content": str(n)}]
        for n in range(60)
    ]
    pq.write_table(
        pa.table({"messages": turns}), path, dictionary_pagesize_limit=2**30, compression="zstd"
    )
    assert path.stat().st_size < 10_000
    del turns
    tracemalloc.start()
    rows = 0
    for row in read_parquet(path, 2**26):
        assert isinstance(row, RawRow) and row.value["messages"][0]["content"] == text
        rows += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 60 and peak < 2**27  # all of them are 144 MB of texts, and as much JSON
    refused = list(read_parquet(path, 100_000))
    assert [row.position for row in refused] == list(range(1, 61))
    assert all(isinstance(row, UnreadableRow) and row.reason == "too_large" for row in refused)


def test_a_row_that_is_far_over_the_limit_is_never_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ingest.columnar.BATCH_BYTES", 1000)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a", "x" * 5000, "b"]}), path)
    first, large, last = read_parquet(path, 100)
    assert isinstance(large, UnreadableRow) and (large.position, large.raw) == (2, b"")
    assert "none is kept" in large.detail
    assert isinstance(first, RawRow) and isinstance(last, RawRow)
