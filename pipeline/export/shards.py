"""The files of one split: Parquet shards and a JSONL file, written row by row in bounded memory.

The same rows give the same bytes, as long as the same pyarrow writes them: row groups are of a
fixed number of rows, or of bytes where rows are long, and nothing of the machine or the hour goes
into a file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.export.rows import ExportRow, encode_objects
from storage.exports_manifest import (
    DATA_FOLDER,
    SCORE_PREFIX,
    RejectedCounts,
    Split,
    SplitCounts,
    example_of,
)

ROWS_PER_GROUP = 1_000
"""Rows in one Parquet row group: small enough for the Hub's viewer to page through."""

BYTES_PER_GROUP = 2**26
"""Of the rows of a row group as JSON, where they are so long that fewer rows have as many."""

BYTES_PER_SHARD = 500_000_000
"""A shard is closed once it is this large, the Hub's advice."""

JSON_LIST = pa.list_(pa.field("item", pa.json_()))
TEXT_LIST = pa.list_(pa.field("item", pa.string()))
SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("prompt", JSON_LIST),
        ("completion", JSON_LIST),
        ("tools", JSON_LIST),
        ("prompt_tokens", pa.int64()),
        ("loss_tokens", pa.int64()),
        ("rank", pa.int64()),
        ("weight", pa.float64()),
        ("source", pa.string()),
        ("license", pa.string()),
    ]
)
JSON_COLUMNS = ("prompt", "completion", "tools", "rejected_answer", "chosen", "rejected")
REJECTED_COLUMNS = (
    pa.field("rejected_answer", JSON_LIST),
    pa.field("rejected_id", pa.string()),
    pa.field("rejected_reason", pa.string()),
    pa.field("rejected_tokens", pa.int64()),
)
"""Of an export whose rows have a rejected answer beside them, some of them at least. None is called
`rejected`: TRL would look at it, null as it often is, to tell whether rows are conversations."""


def score_columns(scores: Iterable[str]) -> list[pa.Field]:
    """The columns that rows have for some scores."""
    return [pa.field(f"{SCORE_PREFIX}{name}", pa.float64()) for name in scores]


def rejected_columns(row: ExportRow) -> dict[str, object]:
    """What a row has of its rejected answer; null where it has none."""
    found = row.rejected
    return {
        "rejected_answer": encode_objects([found.answer], found.example_id) if found else None,
        "rejected_id": found.example_id if found else None,
        "rejected_reason": found.reason if found else None,
        "rejected_tokens": found.loss_tokens if found else None,
    }


class ParquetShards:
    """The Parquet shards of a split in one folder; used as a context manager."""

    def __init__(self, folder: Path, split: Split, schema: pa.Schema) -> None:
        self.bytes = 0
        self._beginning = folder / split
        self._schema = schema
        self._shards: list[Path] = []
        self._shard: tuple[BinaryIO, pq.ParquetWriter] | None = None

    def __enter__(self) -> "ParquetShards":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close()  # after an error too: the folder is removed next
        if kind is None:
            for path in self._shards:  # how many there are is known only now
                path.rename(path.with_name(f"{path.name}-of-{len(self._shards):05d}.parquet"))

    def write(self, table: pa.Table) -> None:
        """Add a row group."""
        file, writer = self._shard or self._open()
        writer.write_table(table)
        if file.tell() >= BYTES_PER_SHARD:  # between row groups only: a shard may be larger by one
            self._close()

    def _open(self) -> tuple[BinaryIO, pq.ParquetWriter]:
        path = self._beginning.with_name(f"{self._beginning.name}-{len(self._shards):05d}")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
        writer = pq.ParquetWriter(
            file, self._schema, compression="zstd", compression_level=3, version="2.6"
        )
        self._shards.append(path)
        self._shard = file, writer
        return self._shard

    def _close(self) -> None:
        if self._shard is None:
            return
        file, writer = self._shard
        writer.close()
        self.bytes += file.tell()  # after close, which writes the footer
        file.close()
        self._shard = None


class SplitWriter:
    """Writes one split; used as a context manager. A split without rows leaves no file."""

    def __init__(
        self, export: Path, split: Split, scores: Iterable[str] = (), *, rejected: bool = False
    ) -> None:
        self.counts = SplitCounts()
        self.rejected = RejectedCounts()
        self.arrow_bytes = 0
        self._beside = rejected
        beside = REJECTED_COLUMNS if rejected else ()
        self._schema = pa.schema([*SCHEMA, *score_columns(scores), *beside])
        self.shards = ParquetShards(export / DATA_FOLDER, split, self._schema)
        self._lines_path = export / f"{split}.jsonl"
        self._split = split
        self._last = (0, "")
        self._pending: list[dict[str, object]] = []
        self._pending_bytes = 0
        self._lines: BinaryIO | None = None

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._flush()
        self.shards.__exit__(kind, *error)
        if self._lines is not None:
            self._lines.close()

    def write(self, row: ExportRow) -> None:
        """Add a row.

        Raises:
            ValueError: if its rank is below the one before it, or the same and it is of another
                example; or if its messages cannot be written as JSON.
        """
        rank, example_id = self._last
        same = row.rank == rank and example_of(row.example_id) == example_id
        if row.rank <= rank and not same:
            raise ValueError(
                f"{row.example_id}: rank {row.rank} in {self._split} after {rank}; "
                "rows must come in the order of their ranks, each once"
            )
        self._last = (row.rank, example_of(row.example_id))
        columns: dict[str, object] = {
            "example_id": row.example_id,
            "prompt": encode_objects(row.prompt, row.example_id),
            "completion": encode_objects(row.completion, row.example_id),
            "tools": encode_objects(row.tools, row.example_id) or None,
            "prompt_tokens": row.prompt_tokens,
            "loss_tokens": row.loss_tokens,
            "rank": row.rank,
            "weight": row.weight,
            "source": row.source,
            "license": row.license,
            **{f"{SCORE_PREFIX}{name}": value for name, value in row.scores.items()},
            **(rejected_columns(row) if self._beside else {}),
        }
        self._pending_bytes += self._write_line(columns)
        self._pending.append(columns)
        self.counts = SplitCounts(
            rows=self.counts.rows + 1,
            prompt_tokens=self.counts.prompt_tokens + row.prompt_tokens,
            loss_tokens=self.counts.loss_tokens + row.loss_tokens,
        )
        if row.rejected is not None:
            self.rejected = RejectedCounts(
                rows=self.rejected.rows + 1,
                loss_tokens=self.rejected.loss_tokens + row.rejected.loss_tokens,
            )
        if len(self._pending) == ROWS_PER_GROUP or self._pending_bytes >= BYTES_PER_GROUP:
            self._flush()

    def _write_line(self, columns: dict[str, object]) -> int:
        if self._lines is None:
            self._lines = self._lines_path.open("wb")
        line = {
            name: [orjson.Fragment(text) for text in value] if isinstance(value, list) else value
            for name, value in columns.items()
        }
        return self._lines.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _flush(self) -> None:
        """Write the pending rows as one row group."""
        if not self._pending:
            return
        columns = [
            # Arrow builds no array of its JSON type from Python values; it casts one of texts.
            pa.array([row[name] for row in self._pending], type=TEXT_LIST).cast(JSON_LIST)
            if name in JSON_COLUMNS
            else pa.array([row[name] for row in self._pending], type=self._schema.field(name).type)
            for name in self._schema.names
        ]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._pending.clear()
        self._pending_bytes = 0
        self.arrow_bytes += table.nbytes
        self.shards.write(table)
