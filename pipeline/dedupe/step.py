"""What every step of deduplication has in common: which copy stays, and what a run says of it.

The steps themselves stand beside their methods, one file each; steps.py lists them.
"""

import numpy as np
from pydantic import Field

from pipeline.measuring.measures.embeddings import ComparedField
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates
from pipeline.settings import Settings
from scorers.arrays import Floats


class DedupeStep(Settings):
    """What every kind of deduplication can be told."""

    method: str
    keep: str | None = Field(
        default=None,
        description="The score that decides which copy stays, the higher one; an example without "
        "it stays last. The lowest example_id if not given.",
    )

    def keep_scores(self, rows: Candidates) -> Floats:
        """(n,) what decides between copies; NaN where nothing does."""
        return rows.score(self.keep) if self.keep else np.full(len(rows), np.nan)

    def label(self) -> str:
        """The step in a few words, as the books of a run have it."""
        return self.method

    def embedded(self) -> ComparedField | None:
        """The text whose embeddings are compared; None where none are."""
        return None

    def remove(self, rows: Candidates) -> Outcome:
        """Say which rows stay, and because of which of them each of the others goes."""
        raise NotImplementedError
