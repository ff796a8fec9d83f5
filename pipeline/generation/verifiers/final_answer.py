"""final_answer: the answer ends on what the given response ends on.

    a(y') = a(y),   a() the final answer of a text (pipeline/text/final_answer.py)

y is the row's own response, or with `marker` what it has behind that. For numbers, options and
formulas. A wrong derivation that ends on the right number passes. Asks nothing.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from pipeline.generation.verifier import VerifierBlock
from pipeline.selection.methods.correct_answer import CURRENCIES
from pipeline.text.final_answer import final_answer, same_answer
from storage.examples import Example

Mark = Annotated[str, Field(min_length=1)]


class FinalAnswer(VerifierBlock):
    """It ends on the answer that the given response ends on."""

    method: Literal["final_answer"] = "final_answer"
    marker: Mark | None = Field(
        default=None, description="What stands before the trusted answer in the given response."
    )
    units: tuple[Mark, ...] = Field(
        default=CURRENCIES, description="What does not count before or after a number."
    )

    def takes(self, example: Example) -> bool:
        """Rows whose response ends on an answer."""
        return self.trusted(example) is not None

    def trusted(self, example: Example) -> str | None:
        """The answer that a row's response ends on."""
        return final_answer(example.response, self.marker)

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        return [self._fault(self.trusted(source), final_answer(text)) for text in texts]

    def _fault(self, trusted: str | None, given: str | None) -> str:
        if given is None:
            return "no_answer"
        right = trusted is not None and same_answer(given, trusted, self.units)
        return "" if right else "wrong_answer"
