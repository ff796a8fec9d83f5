r"""LlamaIT: pairs of texts become requests for a translation, some with words of a glossary.

    row = "translate x from A into B" [with E'] -> y
    E   = entries (a, b) of the glossary, a's words in a row in x and b's in a row in y
    E'  = E in a share of `terms_share` of the rows that have any, by a seeded hash; else nothing

An entry whose translation the given one does not use would teach to pay no heed to entries, so it
is not shown. Words are compared whole and in any case: "car" is not in "cart", nor is an inflected
form found, for nothing here knows lemmas. Rows with entries and without are both trained on, so the
model translates either way. The pair is a row's prompt and response; the row made stands for it,
with the same answer, so loss tokens stay as they were.

Mix-domain instructions for translation in a domain: LlamaIT, arXiv:2402.15061, of which the
abstract was read. There rows of the domain are mixed with general ones, so that neither general
translation nor the following of instructions is lost: choose the mixture first, with `shares: {by:
source}` in a recipe of its own, and make rows of its export. How much of each is told by a trial.

For parallel texts of a field with words of its own, and a glossary of that field. Not for a
glossary that was made of the test's own texts, which gives it away, nor for languages whose words
stand without spaces, where single characters match. It costs no call: no model is asked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from pipeline.generation.listed_lines import read_listed
from pipeline.generation.maker import (
    Making,
    Settled,
    ask_otherwise,
    is_asked_once,
    last_prompt_text,
)
from pipeline.generation.maker_block import UnaskedMakerBlock
from pipeline.ingest.rows import UnreadableSourceError
from pipeline.settings import OneLine
from scorers.words import split_words, stand_in_a_row
from storage.conversations import content_hash
from storage.examples import Example

REQUEST = "Translate this from {given} into {wanted}{terms}:\n\n{text}"

TERMS = ", with these words: {entries}"


class LlamaIT(UnaskedMakerBlock):
    """Requests for translations, some with words of a glossary: LlamaIT (arXiv:2402.15061)."""

    method: Literal["llamait"]
    given: OneLine = Field(description="The language of the prompts, as the request names it.")
    wanted: OneLine = Field(description="The language of the responses.")
    glossary: Path | None = Field(
        default=None,
        description="A text file: each line a term and its translation, with a tab between; a "
        "line that begins with # is none.",
    )
    terms_share: float = Field(
        default=0.5, ge=0, le=1, description="Of the rows that have terms, those that show them."
    )

    takes_over: ClassVar[bool] = True

    def placed(self, base: Path) -> Self:
        """See AnsweringBlock; its glossary too."""
        glossary = self.glossary and base / self.glossary
        return super().placed(base).model_copy(update={"glossary": glossary})

    def require(self) -> None:
        """See GeneratorBlock."""
        self.known_terms()

    def keyed(self) -> dict[str, Any]:
        """See PromptingBlock; the glossary by what it says, and the words around it."""
        return super().keyed() | {"glossary": self.known_terms(), "wording": REQUEST + TERMS}

    def known_terms(self) -> Sequence[tuple[str, str]]:
        """Those of the file; none without one.

        Raises:
            UnreadableSourceError: if it is not there, or is none.
        """
        return read_glossary(self.glossary) if self.glossary else []

    def takes(self, example: Example) -> bool:
        """Rows with one response, of text alone."""
        answer = example.conversation.response or {}
        return is_asked_once(example) and not example.tools and {*answer} == {"role", "content"}

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        terms = self.known_terms()
        return {each.example_id: make_by_llamait(self, each, terms, seed) for each in sources}


def make_by_llamait(
    settings: LlamaIT, source: Example, terms: Sequence[tuple[str, str]], seed: int
) -> Making:
    """The pair as a request and its answer, with terms or without."""
    yield from ()  # a maker asks; this one nothing
    found = find_terms(last_prompt_text(source), source.response, terms)
    # 13 hex digits are 52 bits, which a float holds exactly: below 1, whatever they are.
    drawn = int(content_hash([seed, "terms", source.example_id])[:13], 16) / 16**13
    shown = found if drawn < settings.terms_share else []
    row = ask_otherwise(source, word_request(settings, last_prompt_text(source), shown))
    return [Settled((), row, "with_terms" if shown else "plain")]


def find_terms(given: str, wanted: str, terms: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The terms of a text whose translations stand in the other, in the order of the glossary."""
    words, translated = split_words(given), split_words(wanted)
    return [
        (term, translation)
        for term, translation in terms
        if stand_in_a_row(split_words(term), words)
        and stand_in_a_row(split_words(translation), translated)
    ]


def word_request(settings: LlamaIT, text: str, shown: Sequence[tuple[str, str]]) -> str:
    """The request for a translation of a text."""
    entries = "; ".join(f"{term} = {translation}" for term, translation in shown)
    terms = TERMS.format(entries=entries) if shown else ""
    return REQUEST.format(given=settings.given, wanted=settings.wanted, terms=terms, text=text)


def read_glossary(path: Path) -> list[tuple[str, str]]:
    """Read a glossary: terms with their translations, as its lines have them.

    Raises:
        UnreadableSourceError: if it is not there, or a line is no term and its translation.
    """
    found = []
    for number, line in read_listed(path):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 2 or not all(map(split_words, parts)):
            raise UnreadableSourceError(
                f"{path}, line {number}: expected a term and its translation with a tab between, "
                f"got {line[:60]!r}"
            )
        found.append((parts[0], parts[1]))
    return found
