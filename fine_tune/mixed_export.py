"""How a training names rows of an export: to train on, or for a method to look at.

Importing this costs no torch, so recipes may hold it.
"""

from __future__ import annotations

from math import ceil

from pydantic import Field

from fine_tune.block import TrainingBlock

OWN = "own"


class MixedExport(TrainingBlock):
    """Rows of one export, among those that are trained."""

    export: str = Field(
        default=OWN,
        min_length=1,
        description="own: the export that is trained on; else the folder of another, or the name "
        "of one in the same workspace, as its recipe or its folder is called.",
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="Share of its rows, drawn by the seed."
    )
    rows: int | None = Field(default=None, ge=1, description="At most so many of its rows.")
    export_id: str | None = Field(
        default=None, description="What the export must be; filled in when a training begins."
    )

    def drawn(self, rows: int) -> int:
        """How many of an export's rows are drawn: their share, rounded up, and at most `rows`."""
        return min(ceil(self.share * rows), self.rows or rows)
