"""constraints: the answer keeps to rules that a program can check.

Counts of words, words that must or must not stand in it, and a form. A word is what
scorers/words.py takes for one; several words are looked for in a row. For styles of answers that
are wanted of all rows; what each prompt asks for is for a judge. Asks nothing. In the manner of
Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models", arXiv:2311.07911.
"""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.verifier import VerifierBlock
from scorers.words import split_words, stand_in_a_row
from storage.examples import Example

Words = Annotated[str, Field(min_length=1)]

BULLET = re.compile(r"\s*(?:[-*\u2022]|\d+[.)])\s+\S")


class Constraints(VerifierBlock):
    """It keeps to rules that a program can check."""

    method: Literal["constraints"]
    words_at_least: int = Field(default=0, ge=0, description="Fewest words.")
    words_at_most: int | None = Field(default=None, gt=0, description="Most words.")
    includes: tuple[Words, ...] = Field(
        default=(), description="Words that must all stand in it, in any case."
    )
    excludes: tuple[Words, ...] = Field(
        default=(), description="Words of which none may stand in it."
    )
    form: Literal["json", "bullets", "one_line"] | None = Field(
        default=None,
        description="json: all of it is one JSON value; bullets: every line is a point of a list; "
        "one_line: it has no line break.",
    )

    @model_validator(mode="after")
    def can_be_kept(self) -> Self:
        """Check that there is a rule, and that an answer can keep them all."""
        if not self.model_dump(exclude={"method"}, exclude_defaults=True):
            raise ValueError("constraints: give a rule at least, such as words_at_most")
        if self.words_at_most is not None and self.words_at_most < self.words_at_least:
            raise ValueError(
                f"words_at_least: {self.words_at_least} is more than words_at_most: "
                f"{self.words_at_most}; no answer has both"
            )
        return self

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        return [self._fault(text) for text in texts]

    def _fault(self, text: str) -> str:
        words = split_words(text)
        if len(words) < self.words_at_least:
            return "too_short"
        if self.words_at_most is not None and len(words) > self.words_at_most:
            return "too_long"
        if not all(stand_in_a_row(split_words(each), words) for each in self.includes):
            return "lacks_word"
        if any(stand_in_a_row(split_words(each), words) for each in self.excludes):
            return "has_word"
        return "" if has_form(text, self.form) else f"not_{self.form}"


def has_form(text: str, form: str | None) -> bool:
    """Whether a text is in a form."""
    if form == "json":
        try:
            json.loads(text, parse_constant=_refuse)  # NaN is no JSON
        except (ValueError, RecursionError):
            return False
    if form == "bullets":
        return all(BULLET.match(line) for line in text.strip().splitlines() if line.strip())
    return form != "one_line" or len(text.strip().splitlines()) == 1


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
