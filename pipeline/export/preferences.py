"""An export's rows with a rejected answer once more, in TRL's preference format.

    preferences/train-00000-of-00001.parquet    load_dataset(folder, "preferences")

TRL tells what a data set is by the names of its columns, so rows to imitate and pairs to prefer
cannot stand in one: `data/` is for its SFTTrainer, this for its DPOTrainer and the like.
"""

from pathlib import Path

import pyarrow as pa

from pipeline.export.rows import ExportRow, encode_objects
from pipeline.export.shards import JSON_LIST, ROWS_PER_GROUP, TEXT_LIST, ParquetShards
from storage.exports_manifest import PREFERENCES_FOLDER, Split

SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("prompt", JSON_LIST),
        ("chosen", JSON_LIST),
        ("rejected", JSON_LIST),
        ("tools", JSON_LIST),
        ("rejected_id", pa.string()),
        ("rejected_reason", pa.string()),
    ]
)


class PreferenceWriter:
    """Writes the pairs of a split; used as a context manager. Without pairs it leaves no file."""

    def __init__(self, export: Path, split: Split) -> None:
        self.shards = ParquetShards(export / PREFERENCES_FOLDER, split, SCHEMA)
        self._pending: list[dict[str, object]] = []

    def __enter__(self) -> "PreferenceWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._flush()
        self.shards.__exit__(kind, *error)

    def write(self, row: ExportRow) -> None:
        """Add a row, if it has a rejected answer."""
        if row.rejected is None:
            return
        self._pending.append(
            {
                "example_id": row.example_id,
                "prompt": encode_objects(row.prompt, row.example_id),
                "chosen": encode_objects(row.completion, row.example_id),
                "rejected": encode_objects([row.rejected.answer], row.rejected.example_id),
                "tools": encode_objects(row.tools, row.example_id) or None,
                "rejected_id": row.rejected.example_id,
                "rejected_reason": row.rejected.reason,
            }
        )
        if len(self._pending) == ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        columns = [
            # Arrow builds no array of its JSON type from Python values; it casts one of texts.
            pa.array([row[field.name] for row in self._pending], type=TEXT_LIST).cast(JSON_LIST)
            if field.type == JSON_LIST
            else pa.array([row[field.name] for row in self._pending], type=field.type)
            for field in SCHEMA
        ]
        self.shards.write(pa.Table.from_arrays(columns, schema=SCHEMA))
        self._pending.clear()
