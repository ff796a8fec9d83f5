"""Sources that the Hugging Face `datasets` library keeps: a saved directory, or a hub id.

A directory is read offline. A hub id is the one source that needs the network, unless the dataset
is in the library's cache; nothing in a dataset is executed.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.ingest.columnar import BATCH_ROWS, read_batch
from pipeline.ingest.rows import RawRow, UnreadableRow, UnreadableSourceError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

HUB_PREFIX = "hub:"
_HUB_ID = re.compile(
    r"hub:(?P<name>[\w.-]+/[\w.-]+)"
    r"(:(?P<configuration>[\w.+-]+)(?=[@:]))?"  # what stands last, behind one colon, is a split
    r"(@(?P<revision>[\w./-]+))?(:(?P<split>\w+))?"
)
_SAVED = ("state.json", "dataset_dict.json")


def is_saved_dataset(path: Path) -> bool:
    """Whether a directory was written by `save_to_disk`."""
    return any((path / name).is_file() for name in _SAVED)


def read_saved_dataset(path: Path, limit: int) -> Iterator[RawRow | UnreadableRow]:
    """Read what `save_to_disk` wrote, splits by name, rows of at most `limit` bytes of JSON.

    Raises:
        UnreadableSourceError: if the directory is not such a dataset, or is damaged.
    """
    from datasets import load_from_disk

    try:
        dataset = load_from_disk(path)
    except (OSError, ValueError) as error:
        raise UnreadableSourceError(f"{path.name} is no saved dataset: {error}") from error
    yield from _read_splits(dataset, limit)


def read_hub_dataset(reference: str, limit: int) -> Iterator[RawRow | UnreadableRow]:
    """Read a dataset of the hub; without a split, all of them in the order of their names.

    Args:
        reference: "hub:organisation/name", then ":configuration", "@revision" and ":split" where
            wanted; a configuration needs one of the two behind it.
        limit: bytes of JSON above which a row is not read.

    Raises:
        UnreadableSourceError: if the reference is not one, there is no such dataset, or neither
            the hub nor a cached copy can be reached.
    """
    found = _HUB_ID.fullmatch(reference)
    if not found:
        expected = "hub:organisation/name, then :configuration, @revision and :split where wanted"
        raise UnreadableSourceError(f"expected {expected}; got {reference!r}")
    from datasets import load_dataset

    try:
        dataset = load_dataset(
            found["name"],
            found["configuration"],
            revision=found["revision"],
            split=found["split"],
        )
    except (OSError, ValueError) as error:
        raise UnreadableSourceError(
            f"{reference} cannot be had: {error}. A configuration is named as "
            "hub:ORG/NAME:CONFIGURATION:SPLIT. Without a hub, save the dataset elsewhere with "
            "save_to_disk and give its directory"
        ) from error
    yield from _read_splits(dataset, limit)


def _read_splits(dataset: "Dataset | DatasetDict", limit: int) -> Iterator[RawRow | UnreadableRow]:
    splits = [dataset[name] for name in sorted(dataset)] if isinstance(dataset, dict) else [dataset]
    position = 1
    for split in splits:
        for table in split.with_format("arrow").iter(batch_size=BATCH_ROWS):
            for batch in table.combine_chunks().to_batches():
                yield from read_batch(batch, position, limit)
                position += batch.num_rows
