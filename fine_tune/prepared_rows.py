"""The rows of an export as TRL's own preparation makes them: what is really trained.

Everything goes through the public door: `datasets.load_dataset(folder)` and the `train_dataset` of
an `SFTTrainer`. Only counting needs no model, and gives the trainer a model of a few numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fine_tune.settings import IGNORED
from storage.exports_manifest import Split

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
    counted = rows.select_columns(["example_id", "prompt_tokens", "loss_tokens"])
    return [TokenCount(**row) for row in counted]  # the columns have the fields' names


def trained_tokens(prepared: Dataset) -> list[TokenCount]:
    """What the trainer holds of each row after its preparation, in its order."""
    counts = []
    for row in prepared.select_columns(["example_id", "labels"]):
        # The model never predicts the first token, whatever its label.
        loss_tokens = sum(label != IGNORED for label in row["labels"][1:])
        prompt_tokens = len(row["labels"]) - loss_tokens
        counts.append(TokenCount(row["example_id"], prompt_tokens, loss_tokens))
    return counts
