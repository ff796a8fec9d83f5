"""Repair: another response to every row that has one, for `clear_repair` to choose from.

    y' = the likeliest answer of M to x

It stands beside the row that it may replace, whose id is its parent. One that came out as what was
given is none.

Of CLEAR (Chen and Mueller 2024, arXiv:2403.12776), whose model was first tuned on the rows that
its filter left: name that training as `model`. For rows some of which are wrong. Not without
`clear_repair` behind it: the rows and their repairs would both stay. It costs one call for each
prompt.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from pipeline.generation.maker import Making, Settled
from pipeline.generation.makers.answer import AnswerBlock, make_by_answer
from storage.examples import Example
from storage.repairs import REPAIRED


class Repair(AnswerBlock):
    """Another response to every row that has one."""

    method: Literal["repair"]

    made_as: ClassVar[str] = REPAIRED
    rows_of_prompt: ClassVar[int | None] = None
    in_key: ClassVar[frozenset[str]] = AnswerBlock.in_key | {"method"}

    @model_validator(mode="after")
    def one_repair_each(self) -> Self:
        """Check that a repair is one likeliest answer to every row."""
        if self.teachers:
            raise ValueError("a row has one repair: name one `model`, and no teachers")
        if (self.prompts, self.answers, self.temperature) != ("all", 1, 0):
            raise ValueError(
                "a repair is the likeliest answer to each row: set prompts: all, answers: 1 and "
                "temperature: 0"
            )
        return self

    def takes(self, example: Example) -> bool:
        """Rows with one answer: of none there is nothing to repair, of several not one alone."""
        return len(example.trained_at) == 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_repair(self, source, seed) for source in sources}


def make_by_repair(settings: Repair, source: Example, seed: int) -> Making:
    """The answer, unless it is the one that was given."""
    settled = yield from make_by_answer(settings, source, seed)
    return [
        Settled(each.replies, None, "unchanged")
        if each.row is not None and each.row.example_id == source.example_id  # hash of what is said
        else each
        for each in settled
    ]
