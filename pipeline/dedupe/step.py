"""What every step of deduplication has in common: which copy stays, and what a run says of it.

The steps themselves stand beside their methods, one file each; steps.py lists them.
"""

from pydantic import Field

from pipeline.dedupe.which_copy import Keep, SourceOrder
from pipeline.measuring.measures.embeddings import ComparedField
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates
from pipeline.settings import Settings
from scorers.arrays import Floats


class DedupeStep(Settings):
    """What every kind of deduplication can be told."""

    method: str
    keep: Keep | tuple[Keep, ...] | None = Field(
        default=None,
        description="What decides which copy stays, of those that later steps would take: a score, "
        "the higher one, rows without it last; an order of sources; or a list of these, where the "
        "next decides what the one before leaves open. Last the lowest example_id.",
    )

    def keeps(self) -> tuple[Keep, ...]:
        """What decides between copies, in order."""
        if self.keep is None:
            return ()
        return self.keep if isinstance(self.keep, tuple) else (self.keep,)

    def keep_said(self) -> str:
        """The same in a few words; "" where nothing but the id decides."""
        return ", then ".join(
            str(each) if isinstance(each, SourceOrder) else f"the highest {each}"
            for each in self.keeps()
        )

    def label(self) -> str:
        """The step in a few words, as the books of a run have it."""
        return self.method

    def embedded(self) -> ComparedField | None:
        """The text whose embeddings are compared; None where none are."""
        return None

    def remove(self, rows: Candidates, keep_scores: Floats) -> Outcome:
        """Say which rows stay, and because of which of them each of the others goes.

        Args:
            rows: n of them.
            keep_scores: (n,) of two copies the higher one stays.
        """
        raise NotImplementedError
