"""majority: the answer ends on what most of the answers to its prompt end on (self-consistency).

    a(y') = argmax_a |{y'' : a(y'') = a}|,   if its share of the answers that have one is `least`

For prompts without a trusted answer, and several samples of each. Where two answers are given as
often, none is the majority's. A model that is wrong in the same way most times passes. Asks
nothing. Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning in Language
Models", arXiv:2203.11171.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from pipeline.generation.verifier import VerifierBlock
from pipeline.selection.methods.correct_answer import CURRENCIES
from pipeline.settings import Share
from pipeline.text.final_answer import final_answer, same_answer
from storage.examples import Example


class Majority(VerifierBlock):
    """It ends on the answer that most others end on."""

    method: Literal["majority"]
    least: Share = Field(
        default=0.5, description="Share of the answers of a prompt that must agree, at least."
    )
    units: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=CURRENCIES, description="What does not count before or after a number."
    )

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        given = [final_answer(text) for text in texts]
        groups: list[tuple[str, int]] = []  # an answer, and how often it or its like was given
        for answer in sorted(each for each in given if each is not None):
            for at, (known, count) in enumerate(groups):
                if same_answer(answer, known, self.units):
                    groups[at] = (known, count + 1)
                    break
            else:
                groups.append((answer, 1))
        chosen = self._chosen(groups)
        return [self._fault(answer, chosen) for answer in given]

    def _fault(self, answer: str | None, chosen: str | None) -> str:
        if answer is None:
            return "no_answer"
        if chosen is None:
            return "no_majority"
        return "" if same_answer(answer, chosen, self.units) else "not_of_majority"

    def _chosen(self, groups: Sequence[tuple[str, int]]) -> str | None:
        most = max((count for _, count in groups), default=0)
        first = [answer for answer, count in groups if count == most]
        total = sum(count for _, count in groups)
        return first[0] if len(first) == 1 and most >= self.least * total else None
