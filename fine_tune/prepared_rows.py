"""The rows of an export as TRL's own preparation makes them: what is really trained.

Everything goes through the public door: `datasets.load_dataset(folder)` and the `train_dataset` of
an `SFTTrainer`. Only counting needs no model, and gives the trainer a model of a few numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fine_tune.libraries import quiet_libraries
from fine_tune.settings import IGNORED
from storage.exports_manifest import SPLITS, ExportManifest, Split

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of one row."""

    example_id: str
    prompt_tokens: int
    loss_tokens: int


def load_split(export: Path, split: Split, cache: Path) -> Dataset:
    """Load a split as any user of the export would; needs no network.

    Args:
        export: an export's folder.
        split: one that it has.
        cache: folder for the copy in Arrow form; not shared between exports.
    """
    from datasets import Dataset, load_dataset

    loaded = load_dataset(str(export), split=split, cache_dir=str(cache))
    if not isinstance(loaded, Dataset):
        raise TypeError(f"expected a Dataset of {split}, got {type(loaded).__name__}")
    return loaded


def promised_tokens(rows: Dataset) -> list[TokenCount]:
    """What the export says of each row, in its order."""
    table = rows.select_columns(["example_id", "prompt_tokens", "loss_tokens"])
    return [TokenCount(**row) for row in table]


def trained_tokens(prepared: Dataset) -> list[TokenCount]:
    """What the trainer holds of each row after its preparation, in its order."""
    return list(_count_rows(prepared))


def _count_rows(prepared: Dataset) -> Iterator[TokenCount]:
    for row in prepared.select_columns(["example_id", "labels"]):
        # The model never predicts the first token, whatever its label.
        loss_tokens = sum(label != IGNORED for label in row["labels"][1:])
        yield TokenCount(row["example_id"], len(row["labels"]) - loss_tokens, loss_tokens)


def count_with_trainer(
    export: Path, manifest: ExportManifest, tokenizer: Path, max_length: int | None
) -> dict[Split, list[TokenCount]]:
    """Have TRL prepare every split, and count what it made of each row.

    Args:
        export: an export's folder.
        manifest: its manifest.
        tokenizer: folder of the tokenizer with its chat template.
        max_length: as the trainer will be told, in tokens; it cuts longer rows.
    """
    splits = [split for split in SPLITS if manifest.counts(split).rows]
    with TemporaryDirectory(prefix="sluice-") as folder, quiet_libraries():
        from fine_tune.trainer import prepare_without_model

        cache = Path(folder)
        return {
            split: trained_tokens(
                prepare_without_model(load_split(export, split, cache), tokenizer, max_length)
            )
            for split in splits
        }
