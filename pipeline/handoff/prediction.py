"""What a trainer will make of a row, and whether that is what the export promises.

A row is handed over only where the trainer is known to read the very ids that were promised and to
take its loss on the very tokens. One thing is let pass, and counted: some trainers end a turn's
loss at its end-of-turn token, and leave out the line break that the template writes behind it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.handoff.promises import PromisedRow
from storage.exports_manifest import IGNORED, Split

Fate: TypeAlias = Literal["kept", "cut", "dropped"]
"""kept: read and trained as promised. cut: in other tokens, or with its loss on others; such a row
is not handed over. dropped: the trainer has no way to hold it, or would leave it out."""


class UnheldRowError(ValueError):
    """A row that a trainer cannot hold as promised; the message says why, without its text."""

    def __init__(self, reason: str, outcome: Fate = "dropped", detail: str = "") -> None:
        super().__init__(reason)
        self.outcome: Fate = outcome
        self.detail = detail
        """What is only so of this row, such as the token that differs."""


@dataclass(frozen=True, slots=True)
class TrainedRow:
    """Ids and labels as a trainer holds them."""

    input_ids: Sequence[int]
    labels: Sequence[int]
    """(tokens,) the id where the loss is taken, IGNORED elsewhere."""

    @property
    def loss_tokens(self) -> int:
        """How many tokens the loss is taken on; the first is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])

    def sha256(self) -> str:
        """SHA-256 of ids and labels, little-endian 64-bit integers, all ids first; hex."""
        digest = hashlib.sha256()
        for numbers in (self.input_ids, self.labels):
            digest.update(np.asarray(numbers, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class RowPrediction:
    """A line of prediction.jsonl."""

    row_id: str
    split: Split
    outcome: Fate
    reason: str | None
    """Why it is not kept, in the same words for every such row; None where it is."""
    detail: str | None
    """What is only so of this row."""
    tokens: int
    loss_tokens: int
    """Of a row that is not kept, as the export promises them."""
    sha256: str | None
    """As TrainedRow gives it; None for a row that is not kept."""
    columns: Sequence[str] | None
    """Of tools, calls and results, what stands in columns of the trainer's own; else they stand in
    the contents. None for a row that is not kept, and of trainers that write all rows one way."""


def join_pieces(pieces: Iterable[tuple[Sequence[int], bool]]) -> TrainedRow:
    """A row of pieces one behind the other: the ids of each, and whether it is trained."""
    ids: list[int] = []
    labels: list[int] = []
    for piece, trained in pieces:
        ids += piece
        labels += piece if trained else [IGNORED] * len(piece)
    return TrainedRow(ids, labels)


def keep(
    row: PromisedRow, trained: TrainedRow, columns: Sequence[str] | None = None
) -> RowPrediction:
    """The prediction for a row that a trainer holds as promised.

    Args:
        row: as promised.
        trained: as the trainer holds it.
        columns: as RowPrediction has them.

    Raises:
        UnheldRowError: if it holds it otherwise.
    """
    require_as_promised(row, trained)
    return RowPrediction(
        row_id=row.row_id,
        split=row.split,
        outcome="kept",
        reason=None,
        detail=None,
        tokens=len(trained.input_ids),
        loss_tokens=trained.loss_tokens,
        sha256=trained.sha256(),
        columns=columns,
    )


def lose(row: PromisedRow, error: UnheldRowError) -> RowPrediction:
    """The prediction for a row that a trainer does not hold as promised."""
    return RowPrediction(
        row_id=row.row_id,
        split=row.split,
        outcome=error.outcome,
        reason=str(error),
        detail=error.detail or None,
        tokens=len(row.input_ids),
        loss_tokens=sum(turn.end - turn.start for turn in row.turns),
        sha256=None,
        columns=None,
    )


def require_as_promised(row: PromisedRow, trained: TrainedRow) -> None:
    """Raise UnheldRowError if ids differ, or labels do otherwise than behind a turn's stop."""
    ids = np.asarray(trained.input_ids)
    if not np.array_equal(ids, row.input_ids):
        reason = "its text becomes other tokens there"
        raise UnheldRowError(reason, "cut", first_other_id(row.input_ids, ids))
    labels = np.asarray(trained.labels)
    different = np.flatnonzero(labels != row.labels)
    for turn in row.turns:
        tail = (different >= turn.stop) & (different < turn.end)
        different = different[~(tail & (labels[different] == IGNORED))]
    if len(different):
        first = int(different[0])
        reason = (
            "tokens are not trained there that were promised to be"
            if labels[first] == IGNORED
            else "tokens are trained there that were promised to be read only"
        )
        detail = f"{len(different)} tokens, the first is token {first}"
        raise UnheldRowError(reason, "cut", detail)


def first_other_id(promised: NDArray[np.int32], found: NDArray[np.int32]) -> str:
    """Where ids begin to differ, in words."""
    shorter = min(len(promised), len(found))
    other = np.flatnonzero(promised[:shorter] != found[:shorter])
    place = int(other[0]) if len(other) else shorter
    return f"{len(found)} tokens for {len(promised)} promised ones, other ones from token {place}"
