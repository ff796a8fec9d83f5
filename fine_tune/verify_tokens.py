"""Prove, before anything is spent, that the trainer will train what the export promises.

Rows are lost between an export and a trainer in ways that no error shows: a row longer than
`max_length` is cut, one whose prompt fills it is dropped, another template moves the boundary
between prompt and response. So TRL's own preparation is run, and every token and label of every row
compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from fine_tune.libraries import quiet_libraries
from fine_tune.prepared_rows import (
    TokenCount,
    TokenRow,
    load_split,
    promised_counts,
    rendered_rows,
    stored_rows,
    trained_rows,
)
from storage.exports_manifest import (
    IGNORED,
    PRETOKENIZED,
    SPLITS,
    ExportManifest,
    Split,
    SplitCounts,
    read_manifest,
)

if TYPE_CHECKING:
    from datasets import Dataset

ROWS_NAMED = 5  # differing rows that a message names; the exception holds all


@dataclass(frozen=True, slots=True)
class TokenDifference:
    """A row that the trainer would not train as promised."""

    split: Split
    example_id: str
    promised: TokenCount | None  # None: the export has no such row
    counted: TokenCount | None  # None: the trainer drops it
    first: str = ""
    """The first token that differs, where the counts do not."""

    def __str__(self) -> str:
        return f"{self.split} {self.example_id}: {self._reason()}"

    def _reason(self) -> str:
        if self.counted is None:
            return "dropped by the trainer, no loss token is left of it"
        if self.promised is None:
            return "not promised"
        counted, promised = self.counted, self.promised
        return self.first or (
            f"{counted.prompt_tokens} prompt and {counted.loss_tokens} loss tokens, "
            f"promised {promised.prompt_tokens} and {promised.loss_tokens}"
        )


class TokenMismatchError(ValueError):
    """The trainer would not train what the export promises."""

    exit_code: ClassVar[int] = 3

    def __init__(self, differences: Sequence[TokenDifference], detail: str = "") -> None:
        named = "; ".join(map(str, differences[:ROWS_NAMED]))
        more = f"; and {len(differences) - ROWS_NAMED} more" * (len(differences) > ROWS_NAMED)
        super().__init__(f"the trainer does not agree with the export: {detail}{named}{more}")
        self.differences = tuple(differences)


def compare_labels(
    directory: Path, tokenizer: Path, max_length: int | None
) -> dict[Split, SplitCounts]:
    """Check every row of an export, label by label, against the real SFTTrainer's preparation.

    Args:
        directory: an export. Where it has token ids, they are what is promised; else what the
            measuring engine makes of its conversations.
        tokenizer: folder of the tokenizer, or of the model with it.
        max_length: what the trainer will be told, in tokens; None for no limit.

    Returns:
        The totals of each split, which are the manifest's.

    Raises:
        FileNotFoundError: if the folder is not a finished export.
        TokenMismatchError: if a row is dropped or cut, or has another token or label.
        ValueError: if the tokens were not counted in the chat template, the only one that the
            trainer applies by itself.
    """
    manifest = read_manifest(directory)
    require_chat_template(manifest)
    with TemporaryDirectory(prefix="sluice-") as folder, quiet_libraries():
        from fine_tune.trainer import load_chat_tokenizer, prepare_without_model  # takes seconds

        cache, reader = Path(folder), load_chat_tokenizer(tokenizer)
        splits = []
        for split in [name for name in SPLITS if manifest.counts(name).rows]:
            rows = load_split(directory, split, cache)
            if manifest.pretokenized:
                promised = stored_rows(rows, load_split(directory, split, cache, PRETOKENIZED))
            else:
                promised = rendered_rows(rows, reader)
            prepared = prepare_without_model(rows, tokenizer, max_length)
            splits.append(SplitRows(split, promised, promised_counts(rows), prepared))
        return require_promised(splits, manifest.splits)


@dataclass(frozen=True, slots=True)
class SplitRows:
    """The rows of a split, as they are promised and as the trainer holds them."""

    split: Split
    promised: Iterable[TokenRow]
    """What each row should become."""
    counts: Sequence[TokenCount]
    """What the export says of the same rows, aligned with them."""
    prepared: Dataset
    """What the trainer made of them."""


def require_promised(
    splits: Sequence[SplitRows], totals: Mapping[Split, SplitCounts]
) -> dict[Split, SplitCounts]:
    """Refuse rows that the trainer holds otherwise, and counts that are not the manifest's.

    Returns:
        The totals of each split.

    Raises:
        TokenMismatchError: naming the first rows, in the export's order.
    """
    if found := [difference for rows in splits for difference in differing_rows(rows)]:
        raise TokenMismatchError(found)
    # What the export says of its rows is what the trainer holds: the sums are those of both.
    held = {rows.split: total_counts(rows.counts) for rows in splits}
    if held != totals:
        raise TokenMismatchError((), f"it holds {held}, the manifest says {totals}")
    return held


def differing_rows(rows: SplitRows) -> list[TokenDifference]:
    """Rows that the trainer drops, holds otherwise, or holds unpromised, in this order."""
    split, found = rows.split, []
    held = {example_id: index for index, example_id in enumerate(rows.prepared["example_id"])}
    tokens = rows.prepared.select_columns(["example_id", "input_ids", "labels"])
    for row, stated in zip(rows.promised, rows.counts, strict=True):
        index = held.pop(row.example_id, None)
        if index is None:
            found.append(TokenDifference(split, row.example_id, stated, None))
            continue
        trained = TokenRow(**tokens[index])
        counted, first = trained.count(), first_difference(row, trained)
        if counted != stated or first:
            first = first if counted == stated else ""
            found.append(TokenDifference(split, row.example_id, stated, counted, first))
    return found + [
        TokenDifference(split, trained.example_id, None, trained.count())
        for trained in trained_rows(tokens.select(held.values()))
    ]


def first_difference(promised: TokenRow, trained: TokenRow) -> str:
    """The first token or label that differs, in words; empty where none does."""
    pairs = [list(zip(row.input_ids, row.labels, strict=True)) for row in (promised, trained)]
    for index, (one, other) in enumerate(zip(*pairs, strict=False)):
        if one != other:
            return f"token {index} is {_said(*other)}, promised {_said(*one)}"
    lengths = [len(tokens) for tokens in pairs]
    return f"{lengths[1]} tokens, promised {lengths[0]}" if lengths[0] != lengths[1] else ""


def _said(token: int, label: int) -> str:
    """A token and its label in words."""
    if label == IGNORED:
        return f"{token}, read only"
    return f"{token}, trained" if label == token else f"{token}, trained as {label}"


def total_counts(counts: Sequence[TokenCount]) -> SplitCounts:
    """The totals of rows."""
    return SplitCounts(
        rows=len(counts),
        prompt_tokens=sum(row.prompt_tokens for row in counts),
        loss_tokens=sum(row.loss_tokens for row in counts),
    )


def require_chat_template(manifest: ExportManifest) -> None:
    """Refuse an export whose tokens were counted in a template that TRL does not know.

    Raises:
        ValueError: if the template is not the tokenizer's own.
    """
    if manifest.model.template != "chat":
        raise ValueError(
            f"the export counts tokens in template {manifest.model.template!r}; the trainer "
            "applies the tokenizer's chat template. Measure and export with template 'chat'."
        )
