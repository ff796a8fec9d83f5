"""Rows as token ids and labels: the dialect that no trainer can read in another way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline.handoff.prediction import TrainedRow
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.trainer import HandoffFacts, HeldRow, require_whole_weights

IDS = pa.list_(pa.int64())
"""What every version of the `datasets` library reads as a sequence of int64."""

TOKENS_SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("input_ids", IDS),
        ("attention_mask", IDS),
        ("labels", IDS),
    ]
)


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Writes a row as it was promised; what starts a training on it is the trainer's."""

    command: str
    write_files: Callable[[HandoffFacts], Mapping[str, str]]
    schema: pa.Schema | None = TOKENS_SCHEMA

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as ids, mask and labels.

        Raises:
            UnheldRowError: if its tokens do not all count alike.
        """
        require_whole_weights(row)
        ids, labels = row.input_ids.tolist(), row.labels.tolist()
        line = {
            "row_id": row.row_id,
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "labels": labels,
        }
        return HeldRow(line, TrainedRow(ids, labels))

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """What the trainer's file writes for rows of ids."""
        return self.write_files(facts)
