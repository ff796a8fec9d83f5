"""An export's rows as token ids: the one form that no trainer can read in another way.

    tokens/train-00000-of-00001.parquet    load_dataset(folder, "pretokenized")

A trainer that is given conversations renders and masks them by its own rules. Here is what those
should come to. Turns that the template writes alike whatever follows them are trained within one
row, which is read once; any other is a row of its own, as inference would read it (see
scorers/measures/reading/dialogue.py). The rows of one example have the same `group`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.export.rows import ExportRow
from pipeline.export.shards import ROWS_PER_GROUP, ParquetShards, score_columns
from scorers.measures.reading.chat_format import Template
from scorers.measures.reading.dialogue import RenderedTurn, group_turns, render_turns
from storage.exports_manifest import (
    IGNORED,
    TOKENS_FOLDER,
    Split,
    SplitCounts,
    example_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENS_PER_GROUP = 1_000_000
"""A row group is written once it has so many tokens, if it has not ROWS_PER_GROUP rows before."""

IDS = pa.list_(pa.field("item", pa.int32()))
SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("group", pa.string()),
        ("turns", IDS),
        ("turn_ends", IDS),
        ("input_ids", IDS),
        ("labels", IDS),
        ("loss_weights", pa.list_(pa.field("item", pa.float32()))),
        ("prompt_tokens", pa.int64()),
        ("loss_tokens", pa.int64()),
        ("rank", pa.int64()),
        ("source", pa.string()),
    ]
)

COLUMNS_TEXT = """\
| column | what it is |
|---|---|
| `input_ids` | token ids of the tokenizer and template named above |
| `labels` | the same where the loss is taken, -100 elsewhere |
| `loss_weights` | what each token counts in the loss: its turn's weight, 0 where it is read only |
| `turns`, `turn_ends` | index of each trained message, and of the first token behind it |
| `group` | the conversation: its rows share it, and none of them may be held out from the others |
| `example_id`, `rank`, `source` | as above; of a row of several turns, the conversation's own id |
| `prompt_tokens`, `loss_tokens` | tokens without a label, and with one |
"""


@dataclass(frozen=True, slots=True)
class PretokenizedRow:
    """Some trained turns of a conversation as token ids."""

    example_id: str
    """As an ExportRow has it where it is one turn; of several, the conversation's own."""
    group: str
    """Id of the conversation."""
    turns: Sequence[int]
    """Index of each trained message, ascending."""
    turn_ends: Sequence[int]
    """For each turn the index of the first token behind it."""
    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    """(tokens,) the ids that are trained, and IGNORED."""
    loss_weights: NDArray[np.float32]
    """(tokens,) 0 where nothing is trained."""
    rank: int
    source: str
    split: Split
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """Of the example, as its other rows have them."""


Pretokenize: TypeAlias = Callable[[Sequence[ExportRow]], Sequence[PretokenizedRow]]
"""From the export's rows of one conversation to its rows as token ids."""


def pretokenize_rows(
    rows: Sequence[ExportRow], tokenizer: "PreTrainedTokenizerBase", template: Template
) -> list[PretokenizedRow]:
    """Tokenise the trained turns of one conversation.

    Args:
        rows: of one conversation, a row for each trained turn, in their order.
        tokenizer: that they were counted with.
        template: that they were counted in.

    Raises:
        ValueError: if a turn has other tokens than its row says.
    """
    last = rows[-1]
    messages = [*last.prompt, *last.completion]
    trained_at = [len(row.prompt) for row in rows]
    turns = render_turns(tokenizer, messages, last.tools, trained_at, template)
    by_message = dict(zip(trained_at, rows, strict=True))
    for turn in turns:
        _require_counts(by_message[turn.message], turn)
    groups = group_turns(turns)
    return [_join([(turn, by_message[turn.message]) for turn in group]) for group in groups]


def _require_counts(row: ExportRow, turn: RenderedTurn) -> None:
    counted = (len(turn.alone.prompt), len(turn.alone.response))
    if counted != (row.prompt_tokens, row.loss_tokens):
        raise ValueError(
            f"{row.example_id}: {counted[0]} prompt and {counted[1]} loss tokens, measured were "
            f"{row.prompt_tokens} and {row.loss_tokens}: the tokenizer is not the one that was used"
        )


def _join(trained: Sequence[tuple[RenderedTurn, ExportRow]]) -> PretokenizedRow:
    """Turns that are read together, as one row."""
    last, row = trained[-1]
    group = example_of(row.example_id)
    ids = np.array([*last.alone.prompt, *last.alone.response], dtype=np.int32)
    labels = np.full(len(ids), IGNORED, dtype=np.int32)
    weights = np.zeros(len(ids), dtype=np.float32)
    for turn, its_row in trained:
        # Earlier turns stand in the last one's ids where they stand alone: they are in place.
        labels[turn.start : turn.end] = ids[turn.start : turn.end]
        weights[turn.start : turn.end] = its_row.weight
    return PretokenizedRow(
        example_id=row.example_id if len(trained) == 1 else group,
        group=group,
        turns=[turn.message for turn, _ in trained],
        turn_ends=[turn.end for turn, _ in trained],
        input_ids=ids,
        labels=labels,
        loss_weights=weights,
        rank=row.rank,
        source=row.source,
        split=row.split,
        scores=row.scores,
    )


class TokenWriter:
    """Writes the token ids of one split; used as a context manager."""

    def __init__(self, export: Path, split: Split, scores: Iterable[str] = ()) -> None:
        self.counts = SplitCounts()
        self._scores = tuple(scores)
        self._schema = pa.schema([*SCHEMA, *score_columns(self._scores)])
        self._shards = ParquetShards(export / TOKENS_FOLDER, split, self._schema)
        self._pending: list[PretokenizedRow] = []
        self._tokens = 0

    def __enter__(self) -> "TokenWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._flush()
        self._shards.__exit__(kind, *error)

    def write(self, row: PretokenizedRow) -> None:
        """Add a row."""
        self._pending.append(row)
        self._tokens += len(row.input_ids)
        if len(self._pending) == ROWS_PER_GROUP or self._tokens >= TOKENS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = self._pending
        trained = [int((row.labels != IGNORED).sum()) for row in rows]
        read_only = [len(row.labels) - count for row, count in zip(rows, trained, strict=True)]
        counted = {"prompt_tokens": read_only, "loss_tokens": trained}
        columns = [
            pa.array(counted.get(name) or [getattr(row, name) for row in rows], type=column.type)
            for name, column in zip(SCHEMA.names, SCHEMA, strict=True)
        ]
        columns += [
            pa.array([row.scores[name] for row in rows], pa.float64()) for name in self._scores
        ]
        self._shards.write(pa.Table.from_arrays(columns, schema=self._schema))
        self.counts = SplitCounts(
            rows=self.counts.rows + len(rows),
            prompt_tokens=self.counts.prompt_tokens + sum(read_only),
            loss_tokens=self.counts.loss_tokens + sum(trained),
        )
        self._pending, self._tokens = [], 0
