"""Rows as batches: padded or joined as TRL does, with the columns that it would drop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from storage.exports_manifest import SCORE_PREFIX

LOSS_WEIGHTS = "loss_weights"
"""A column of rows whose tokens are not to count alike: what each counts, or one number for all."""

TASK = "task"
"""A column of rows of several tasks: which of them, from 0."""

REJECTED = "rejected_"
"""What the names of all that belongs to rejected answers begin with, in rows and batches."""

REJECTED_IDS, REJECTED_LABELS = f"{REJECTED}ids", f"{REJECTED}labels"
"""Columns of rows of which some have a rejected answer beside them: prompt and answer, and what of
it is the answer; empty where there is none."""

MARKS, REJECTED_MARKS = "marks", f"{REJECTED}marks"
"""With these: 1 where a token of the row, or of its rejected answer, is treated apart."""

REJECTED_ROWS = f"{REJECTED}rows"
"""In a batch: (m,) which of its rows the rejected answers belong to."""

PAIR_COLUMNS = (REJECTED_IDS, REJECTED_LABELS, MARKS, REJECTED_MARKS)
BESIDE = (LOSS_WEIGHTS, TASK, MARKS)
"""Columns for the loss, which the model is not given."""

SEQUENCE = "seq_idx"
"""In a packed batch (1, tokens): which row each token is of."""

TrainingRows: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class WeightedRows:
    """Makes batches of rows."""

    pad: DataCollatorForLanguageModeling
    """TRL's collator; it joins rows where `padding_free` is set."""
    scores: tuple[str, ...] = ()
    """Scores whose columns are kept."""

    def __call__(self, rows: TrainingRows) -> dict[str, torch.Tensor]:
        """A batch: (rows, tokens), or (1, tokens) of joined rows; scores and tasks (rows,)."""
        batch: dict[str, torch.Tensor] = self.pad(rows)  # which drops columns it does not know
        if LOSS_WEIGHTS in rows[0]:
            batch[LOSS_WEIGHTS] = self._weights(rows, batch["labels"])
        if TASK in rows[0]:
            batch[TASK] = torch.tensor([row[TASK] for row in rows])
        for name in self.scores:
            column = f"{SCORE_PREFIX}{name}"
            if column in rows[0]:  # a row whose loss alone is asked for has none
                batch[column] = torch.tensor([row[column] for row in rows], dtype=torch.float32)
        if REJECTED_IDS in rows[0]:
            batch |= self._rejected(rows, batch["labels"].shape[1])
        return batch

    def _rejected(self, rows: TrainingRows, tokens: int) -> dict[str, torch.Tensor]:
        """Marks (rows, tokens); and where a row has a rejected answer, those as a padded batch."""
        found = {MARKS: padded([row[MARKS] for row in rows], tokens)}
        places = [place for place, row in enumerate(rows) if row[REJECTED_IDS]]
        if not places:
            return found
        pairs = [
            {"input_ids": rows[at][REJECTED_IDS], "labels": rows[at][REJECTED_LABELS]}
            for at in places
        ]
        batch = {f"{REJECTED}{name}": value for name, value in self.pad(pairs).items()}
        longest = batch[f"{REJECTED}input_ids"].shape[1]
        batch[REJECTED_MARKS] = padded([rows[at][REJECTED_MARKS] for at in places], longest)
        return found | batch | {REJECTED_ROWS: torch.tensor(places)}

    def _weights(self, rows: TrainingRows, labels: torch.Tensor) -> torch.Tensor:
        each = [
            torch.tensor(row[LOSS_WEIGHTS], dtype=torch.float32).expand(len(row["input_ids"]))
            for row in rows
        ]
        if self.pad.padding_free:
            return torch.cat(each)[None]
        return padded(each, labels.shape[1])  # padding is on the right, and counts 0


def padded(rows: Sequence[Sequence[float] | torch.Tensor], tokens: int) -> torch.Tensor:
    """(rows, tokens) numbers of rows, and 0 behind them."""
    found = torch.zeros(len(rows), tokens)
    for index, row in enumerate(rows):
        found[index, : len(row)] = torch.as_tensor(row)
    return found


def token_places(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(rows, tokens) of a batch: which row of the export each token is of, from 0."""
    if SEQUENCE in batch:
        return batch[SEQUENCE].long()
    labels = batch["labels"]
    return torch.arange(len(labels), device=labels.device)[:, None].expand(labels.shape)


def row_places(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(rows, tokens - 1) of a batch: which row of the export each next token is of, from 0."""
    return token_places(batch)[:, 1:]


def token_rows(batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, tokens) twice: 1 where a token is no padding; which row of the export it is of."""
    padding_free = SEQUENCE in batch
    read = torch.ones_like(batch["labels"]) if padding_free else batch["attention_mask"]
    return read, token_places(batch)


def count_rows_of(batch: Mapping[str, torch.Tensor]) -> int:
    """Rows of the export in a batch."""
    return int(batch[SEQUENCE].max()) + 1 if SEQUENCE in batch else len(batch["labels"])


def count_read(batch: Mapping[str, torch.Tensor]) -> int:
    """Tokens of a batch that are read, padding left out."""
    return batch["labels"].numel() if SEQUENCE in batch else int(batch["attention_mask"].sum())
