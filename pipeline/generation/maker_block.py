"""What every maker's block of a recipe has, and the key of what it makes."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol

from pydantic import Field

from pipeline.generation.answering_block import AnsweringBlock
from pipeline.generation.maker import CallKind, Making
from pipeline.generation.templates import prompt_texts
from pipeline.settings import Settings
from storage.conversations import content_hash
from storage.examples import Example

WHOLE_POOL = ""
"""The source of a maker that works on all rows together."""


class CallBounds(NamedTuple):
    """How many calls of a kind a maker makes for so many sources."""

    fewest: int
    most: int
    tokens_each: int
    """New tokens of a reply at most."""


class AtMost(Settings):
    """What a maker may spend; where it ends, what was made so far is kept."""

    calls: int | None = Field(default=None, gt=0, description="Calls of the model.")
    tokens: int | None = Field(
        default=None,
        gt=0,
        description="New tokens. A call is made while its `max_new_tokens` still fit.",
    )


class MakerBlock(AnsweringBlock):
    """The fields that every maker has."""

    limit: int | None = Field(
        default=None, gt=0, description="At most so many rows; chosen by a seeded hash."
    )
    at_most: AtMost = Field(default=AtMost(), description="What may be spent, all runs together.")
    license: str | None = Field(
        default=None,
        min_length=1,
        description="The licence of what the model writes; the export's card states it.",
    )

    prompts: ClassVar[Sequence[str]] = ()
    """Files in makers/prompts/ that are sent."""
    takes_over: ClassVar[bool] = False
    """Whether what is made stands for its sources, which leave the pool."""

    @property
    def makes_of_whole(self) -> bool:
        """Whether it works on all its sources together, and not on each."""
        return not self.takes_over


NOT_IN_KEY = {"model", "endpoint", "limit", "at_most", "license"}
"""Fields that change no row: who is asked is in the identity, the others say how many."""


class Maker(Protocol):
    """What the engine needs of a maker; its fields are those of MakerBlock."""

    def takes(self, example: Example) -> bool:
        """Whether a row is one that it can work on."""
        ...

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """A maker at work on each source by its id, or one on WHOLE_POOL.

        Args:
            sources: sorted by id, each of which it takes.
            seed: of all that is drawn.
        """
        ...

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """What it will ask for so many sources; a kind that it never asks is left out."""
        ...


def maker_key(block: MakerBlock, seed: int, pool: Sequence[str] | None) -> str:
    """Hash of everything that can change the rows.

    Args:
        block: the maker's settings.
        seed: the run's.
        pool: the sources of a maker that works on all of them together; None of others.

    Raises:
        MissingModelError: as AnsweringBlock.identity.
    """
    settings = block.model_dump(mode="json", exclude=NOT_IN_KEY)
    return content_hash([block.identity(), settings, prompt_texts(block.prompts), seed, pool])[:16]
