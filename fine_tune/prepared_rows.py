"""The rows of an export as token ids: what it promises, and what TRL's own preparation makes.

What is trained goes through the public door: `datasets.load_dataset(folder)`, and the
`train_dataset` of an `SFTTrainer`. What is promised is the export's own token ids, or where it has
none, what the measuring engine makes of each conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorers.measures.reading.chat_format import render
from storage.exports_manifest import (
    IGNORED,
    PRETOKENIZED,
    ExportManifest,
    Split,
    example_of,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of one row."""

    example_id: str
    prompt_tokens: int
    loss_tokens: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row as a trainer holds it."""

    example_id: str
    input_ids: Sequence[int]
    labels: Sequence[int]
    """(tokens,) the id where the loss is taken, IGNORED elsewhere."""

    def count(self) -> TokenCount:
        """How many tokens are read only, and how many trained."""
        # The model never predicts the first token, whatever its label.
        trained = sum(label != IGNORED for label in self.labels[1:])
        return TokenCount(self.example_id, len(self.labels) - trained, trained)


def load_split(export: Path, split: Split, cache: Path, config: str = "default") -> Dataset:
    """Load a split as any user of the export would; needs no network.

    Args:
        export: an export's folder.
        split: one that it has.
        cache: folder for the copy in Arrow form; not shared between exports.
        config: "default", the conversations; or PRETOKENIZED.
    """
    from datasets import Dataset, load_dataset

    loaded = load_dataset(str(export), config, split=split, cache_dir=str(cache))
    if not isinstance(loaded, Dataset):
        raise TypeError(f"expected a Dataset of {split}, got {type(loaded).__name__}")
    return loaded


def load_trained(manifest: ExportManifest, export: Path, split: Split, cache: Path) -> Dataset:
    """Load the rows of a split that a training reads: the token ids, where there are some."""
    return load_split(export, split, cache, PRETOKENIZED if manifest.pretokenized else "default")


def promised_counts(rows: Dataset) -> list[TokenCount]:
    """What the export says of each row, in its order."""
    counted = rows.select_columns(["example_id", "prompt_tokens", "loss_tokens"])
    return [TokenCount(**row) for row in counted]  # the columns have the fields' names


def rendered_rows(rows: Dataset, tokenizer: PreTrainedTokenizerBase) -> Iterator[TokenRow]:
    """What each conversational row of a split should become, in their order.

    Raises:
        RenderingError: if the tokenizer's template refuses a conversation.
    """
    return (render_row(row, tokenizer) for row in rows)


def stored_rows(rows: Dataset, tokens: Dataset) -> Iterator[TokenRow]:
    """The same from the token ids that an export has of a split.

    Raises:
        KeyError: if a turn has none.
    """
    places = turn_places(tokens)
    for row in rows:
        turn = places[example_of(row["example_id"]), len(row["prompt"])]
        joined = tokens[turn.row]
        labels = [IGNORED] * turn.start + joined["labels"][turn.start : turn.end]
        yield TokenRow(row["example_id"], joined["input_ids"][: turn.end], labels)


def render_row(row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> TokenRow:
    """A conversational row as the measuring engine reads it."""
    messages = [*row["prompt"], *row["completion"]]
    ids = render(tokenizer, messages, row["tools"] or (), len(row["prompt"]), "chat")
    labels = [IGNORED] * len(ids.prompt) + ids.response
    return TokenRow(row["example_id"], ids.prompt + ids.response, labels)


@dataclass(frozen=True, slots=True)
class TurnPlace:
    """Where a trained turn stands among the rows of token ids."""

    row: int
    start: int
    """Where the turn before it in the row ends; between there and its own tokens no label is."""
    end: int


def turn_places(tokens: Dataset) -> dict[tuple[str, int], TurnPlace]:
    """Example and index of a trained message → where it stands."""
    found = {}
    for index, row in enumerate(tokens.select_columns(["group", "turns", "turn_ends"])):
        starts = [0, *row["turn_ends"]]
        for turn, start, end in zip(row["turns"], starts, row["turn_ends"], strict=False):
            found[row["group"], turn] = TurnPlace(index, start, end)
    return found


def trained_rows(prepared: Dataset) -> Iterator[TokenRow]:
    """What the trainer holds of each row after its preparation, in its order."""
    for row in prepared.select_columns(["example_id", "input_ids", "labels"]):
        yield TokenRow(**row)  # the columns have the fields' names
