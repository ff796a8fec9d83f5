"""Several models that write for one maker: which of them is asked about which row."""

from collections.abc import Iterable, Sequence

from pydantic import Field

from pipeline.generation.answering_block import AnsweringBlock
from storage.conversations import content_hash


class Teacher(AnsweringBlock):
    """One of several models that write for a maker."""

    license: str | None = Field(
        default=None,
        min_length=1,
        description="The licence of what it writes; if not given, the maker's `license`.",
    )

    @property
    def name(self) -> str:
        """Told apart from the others by this: its model, and where that is served."""
        return f"{self.model} at {self.endpoint.base_url}" if self.endpoint else self.model


def draw_teacher(rivals: Sequence[str], row: str, seed: int) -> str:
    """Which teacher is asked about a row: the one with the highest hash of itself and the row.

    So one teacher more, or fewer, moves no row between the others (rendezvous hashing).
    """
    return max(rivals, key=lambda name: content_hash([seed, row, name]))


def rows_of_teacher(named: str, rivals: Sequence[str], rows: Iterable[str], seed: int) -> list[str]:
    """The rows that fall to a teacher, in their order; all of them where it has no rivals."""
    return [row for row in rows if not rivals or draw_teacher(rivals, row, seed) == named]
