"""Prove, before anything is spent, that the trainer will train what the export promises.

Rows are lost between an export and a trainer in ways that no error shows: a row longer than
`max_length` is cut, one whose prompt fills it is dropped, another template moves the boundary
between prompt and response. So TRL's own preparation is run and its rows are counted, each one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from fine_tune.libraries import quiet_libraries
from fine_tune.prepared_rows import TokenCount, load_split, promised_tokens, trained_tokens
from storage.exports_manifest import SPLITS, ExportManifest, Split, SplitCounts, read_manifest

ROWS_NAMED = 5  # differing rows that a message names; the exception holds all


@dataclass(frozen=True, slots=True)
class TokenDifference:
    """A row that the trainer would not train as promised."""

    split: Split
    example_id: str
    promised: TokenCount | None  # None: the export has no such row
    counted: TokenCount | None  # None: the trainer drops it

    def __str__(self) -> str:
        return f"{self.split} {self.example_id}: {self._reason()}"

    def _reason(self) -> str:
        if self.counted is None:
            return "dropped by the trainer, no loss token is left of it"
        if self.promised is None:
            return "not promised"
        counted, promised = self.counted, self.promised
        return (
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


def count_loss_tokens(
    directory: Path, tokenizer: Path, max_length: int | None
) -> dict[Split, list[TokenCount]]:
    """Count the tokens of each row as the real SFTTrainer prepares it.

    Args:
        directory: an export.
        tokenizer: folder of the tokenizer, or of the model with it.
        max_length: what the trainer will be told, in tokens; None for no limit.

    Returns:
        For each split that the export has: a count for each row the trainer keeps.

    Raises:
        FileNotFoundError: if the folder is not a finished export.
        ValueError: if the tokens were not counted in the chat template, the only one that the
            trainer applies by itself.
    """
    manifest = read_manifest(directory)
    require_chat_template(manifest)
    with TemporaryDirectory(prefix="sluice-") as folder, quiet_libraries():
        from fine_tune.trainer import prepare_without_model  # takes seconds

        return {
            split: trained_tokens(
                prepare_without_model(
                    load_split(directory, split, Path(folder)), tokenizer, max_length
                )
            )
            for split in SPLITS
            if manifest.counts(split).rows
        }


def verify_tokens(
    directory: Path, tokenizer: Path, max_length: int | None
) -> dict[Split, SplitCounts]:
    """Check each row and the totals of an export against the real trainer.

    Takes what count_loss_tokens takes; the counts that come back are equal to the manifest's.

    Raises:
        TokenMismatchError: if a row is dropped, cut or counted otherwise.
    """
    counted = count_loss_tokens(directory, tokenizer, max_length)
    with TemporaryDirectory(prefix="sluice-") as folder, quiet_libraries():
        promised = {
            split: promised_tokens(load_split(directory, split, Path(folder))) for split in counted
        }
    return compare_tokens(read_manifest(directory), promised, counted)


def compare_tokens(
    manifest: ExportManifest,
    promised: Mapping[Split, Sequence[TokenCount]],
    counted: Mapping[Split, Sequence[TokenCount]],
) -> dict[Split, SplitCounts]:
    """Compare what rows promise with what the trainer holds, and both with the manifest.

    Returns:
        The totals of each split.

    Raises:
        TokenMismatchError: if anything differs; it names the first rows, in the export's order.
    """
    differences = [
        difference
        for split, rows in promised.items()
        for difference in differing_rows(split, rows, counted[split])
    ]
    if differences:
        raise TokenMismatchError(differences)
    totals = {split: _total(rows) for split, rows in counted.items()}
    if totals != dict(manifest.splits):
        raise TokenMismatchError((), f"it holds {totals}, the manifest says {manifest.splits}")
    return totals


def differing_rows(
    split: Split, promised: Sequence[TokenCount], counted: Sequence[TokenCount]
) -> list[TokenDifference]:
    """Rows that the trainer drops, holds with other counts, or holds unpromised, in this order."""
    trained = {row.example_id: row for row in counted}
    known = {row.example_id for row in promised}
    return [
        TokenDifference(split, row.example_id, row, trained.get(row.example_id))
        for row in promised
        if trained.get(row.example_id) != row  # None among them: dropped
    ] + [
        TokenDifference(split, row.example_id, None, row)
        for row in counted
        if row.example_id not in known
    ]


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


def _total(rows: Sequence[TokenCount]) -> SplitCounts:
    return SplitCounts(
        rows=len(rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        loss_tokens=sum(row.loss_tokens for row in rows),
    )
