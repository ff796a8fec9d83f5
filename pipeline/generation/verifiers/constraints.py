"""constraints: the answer keeps to rules that a program can check.

Counts, words that must or must not stand in it, how it ends, and a form. A word is what
scorers/words.py takes for one; several words are looked for in a row. Rules that no answer keeps
together are refused. For styles of answers that are wanted of all rows; rules that each prompt
states are made by `constrained`, and what else it asks for is for a judge. Asks nothing. In the
manner of Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models",
arXiv:2311.07911: what 12 of its 25 rules look at, and none that is ambiguous, as sentences are.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.verifier import VerifierBlock
from scorers.words import split_words, stand_in_a_row
from storage.examples import Example

Words = Annotated[str, Field(min_length=1)]

BULLET = re.compile(r"\s*(?:[-*\u2022]|\d+[.)])\s+\S")

COMMA = re.compile("[,\u060c\u3001\uff0c]")

PLACEHOLDER = re.compile(r"\[[^\[\]\n]+\]")

PARAGRAPH_END = re.compile(r"\n\s*\n")

CLASHES: frozenset[frozenset[str]] = frozenset(
    frozenset((form, rule))
    for form, rules in {
        "json": ("points", "paragraphs", "ends_with"),
        "bullets": ("paragraphs",),
        "one_line": ("points", "paragraphs"),
        "quoted": ("ends_with",),
    }.items()
    for rule in rules
)
"""Forms and rules that do not go together."""


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
    form: Literal["json", "bullets", "one_line", "quoted"] | None = Field(
        default=None,
        description="json: all of it is one JSON value; bullets: every line is a point of a list; "
        "one_line: it has no line break; quoted: it stands in double quotation marks.",
    )
    points: int | None = Field(
        default=None, ge=2, description="Lines that are points of a list, exactly."
    )
    paragraphs: int | None = Field(
        default=None, ge=2, description="Paragraphs with empty lines between them, exactly."
    )
    placeholders_at_least: int = Field(
        default=0, ge=0, description="Fewest places to be filled in, such as [name]."
    )
    case: Literal["lower", "upper"] | None = Field(
        default=None, description="Of all its letters; a text without any has none."
    )
    no_commas: bool = Field(default=False, description="It has no comma.")
    ends_with: Words | None = Field(default=None, description="Its last words, in any case.")

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
        wanted = [*self.includes, *([self.ends_with] if self.ends_with else ())]
        for word in self.excludes:
            if any(stand_in_a_row(split_words(word), split_words(each)) for each in wanted):
                raise ValueError(f"excludes: {word} is wanted by another rule; no answer has both")
        if (clash := find_clash(self.given_rules())) is not None:
            raise ValueError(f"{' and '.join(clash)} do not go together: take out one of them")
        return self

    def given_rules(self) -> list[str]:
        """Names of the rules that are given, with a form by its own name."""
        given = self.model_dump(exclude={"method"}, exclude_defaults=True)
        return [self.form if name == "form" and self.form else name for name in given]

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        return [self._fault(text) for text in texts]

    def _fault(self, text: str) -> str:
        words = split_words(text)
        broken = {
            "too_short": len(words) < self.words_at_least,
            "too_long": self.words_at_most is not None and len(words) > self.words_at_most,
            "lacks_word": not all(stand_in_a_row(split_words(w), words) for w in self.includes),
            "has_word": any(stand_in_a_row(split_words(w), words) for w in self.excludes),
            f"not_{self.form}": not has_form(text, self.form),
            "other_points": self.points not in (None, count_points(text)),
            "other_paragraphs": self.paragraphs not in (None, count_paragraphs(text)),
            "lacks_placeholder": len(PLACEHOLDER.findall(text)) < self.placeholders_at_least,
            f"not_{self.case}_case": not has_case(text, self.case),
            "has_comma": self.no_commas and bool(COMMA.search(text)),
            "other_end": not text.strip().casefold().endswith((self.ends_with or "").casefold()),
        }
        return next((fault for fault, is_broken in broken.items() if is_broken), "")


def find_clash(rules: Iterable[str]) -> tuple[str, str] | None:
    """Two of the rules that do not go together; None where there are none."""
    pairs = combinations(rules, 2)
    return next((pair for pair in pairs if frozenset(pair) in CLASHES), None)


def count_points(text: str) -> int:
    """Lines that are points of a list."""
    return sum(bool(BULLET.match(line)) for line in text.splitlines())


def count_paragraphs(text: str) -> int:
    """Paragraphs, with empty lines between them."""
    return sum(bool(each.strip()) for each in PARAGRAPH_END.split(text))


def has_case(text: str, case: str | None) -> bool:
    """Whether all letters of a text are of a case, and there are some."""
    return {None: True, "lower": text.islower(), "upper": text.isupper()}[case]


def has_form(text: str, form: str | None) -> bool:
    """Whether a text is in a form."""
    if form == "json":
        try:
            json.loads(text, parse_constant=_refuse)  # NaN is no JSON
        except (ValueError, RecursionError):
            return False
    if form == "bullets":
        return all(BULLET.match(line) for line in text.strip().splitlines() if line.strip())
    if form == "quoted":
        return len(text.strip()) > 2 and text.strip()[0] == text.strip()[-1] == '"'
    return form != "one_line" or len(text.strip().splitlines()) == 1


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
