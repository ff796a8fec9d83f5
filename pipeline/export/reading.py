"""Read an export again: exactly, from its Parquet files, and as the `datasets` library gives it."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.export.shards import JSON_COLUMNS
from storage.exports_manifest import (
    DATA_FOLDER,
    PREFERENCES,
    PREFERENCES_FOLDER,
    PRETOKENIZED,
    SPLITS,
    TOKENS_FOLDER,
    ExportManifest,
    Split,
)

ROWS_AT_ONCE = 256


def read_exported_rows(
    export: Path, manifest: ExportManifest, split: Split, folder: str = DATA_FOLDER
) -> Iterator[dict[str, Any]]:
    """The rows of a split's Parquet shards, messages and tools decoded by an exact parser."""
    for name in manifest.data_files(split, folder):
        with pq.ParquetFile(export / name) as shard:
            for batch in shard.iter_batches(ROWS_AT_ONCE):
                yield from map(decode_row, plain_columns(batch).to_pylist())


def plain_columns(batch: pa.RecordBatch) -> pa.Table:
    """A batch whose JSON columns are lists of texts."""
    table = pa.Table.from_batches([batch])
    for name in set(JSON_COLUMNS) & set(table.column_names):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(pa.list_(pa.string())))
    return table


def decode_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its messages and tools as objects; without tools it has null, as it was."""
    for name in JSON_COLUMNS:
        if row.get(name) is not None:
            row[name] = [orjson.loads(text) for text in row[name]]
    return row


def rows_loaded_otherwise(export: Path, manifest: ExportManifest) -> list[str]:
    """Rows that `load_dataset` gives in another way than they stand in the files, by their ids.

    Each split of each configuration is loaded as a trainer loads it, a few rows at a time.
    """
    found = []
    configurations: dict[str, tuple[str, Collection[Split]]] = {
        "default": (DATA_FOLDER, manifest.splits)
    }
    if manifest.pretokenized:
        configurations[PRETOKENIZED] = (TOKENS_FOLDER, manifest.pretokenized)
    if any(manifest.data_files(split, PREFERENCES_FOLDER) for split in manifest.rejected):
        configurations[PREFERENCES] = (PREFERENCES_FOLDER, manifest.rejected)
    for configuration, (folder, splits) in configurations.items():
        for split in [name for name in SPLITS if name in splits]:
            exact = read_exported_rows(export, manifest, split, folder)
            loaded = load_rows(export, configuration, split)
            for one, other in zip_longest(exact, loaded):
                if one != other:
                    found.append(str((one or other or {}).get("example_id")))
    return found


def load_rows(export: Path, configuration: str, split: Split) -> Iterator[dict[str, Any]]:
    """The rows of a split as the `datasets` library streams them; asks no hub."""
    from datasets import load_dataset

    with _offline():
        rows = load_dataset(str(export), configuration, split=split, streaming=True)
        yield from rows


@contextmanager
def _offline() -> Iterator[None]:
    """No hub is asked; as it was before on the way out."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True  # the environment was read when it was imported
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
