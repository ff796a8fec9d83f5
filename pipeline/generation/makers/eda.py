r"""EDA: a classified text again with a few words replaced, inserted, swapped or deleted.

    l words, n = max(1, floor(alpha l)) changes, one operation for each variant, in turn:
    replace  n words of the text, each by a synonym          insert  n words before others
    swap     n times the places of two different words       delete  n words, never the last one

Easy data augmentation: Wei and Zou 2019, arXiv:1901.11196. Their synonyms are WordNet's, which no
package carries that is kept up; here they are a file of yours, and without one nothing is replaced
and what is inserted are words of the text again, where EDA inserts synonyms. Their deletion is a
draw for each word; n words are deleted here, so that no variant is a copy. There the paper leaves
out stop words from replacing; here what the file does not name stays.

The prompt's last message is changed, its instruction with it: give one as a system prompt, which
stays, and so does the answer. What is drawn follows from the row and the seed. A text in which no
further variant is found in a few draws has fewer.

For a few hundred classified texts, where no model is at hand that words them anew. Not for answers
that depend on each word: a deleted "not" turns a label over, and rows of longer answers than
`longest_answer` are not taken; nor for scripts without spaces. It may as well do harm: train
without it as well, and print the rate at which labels stay with `benchmarks/label_keeping.py`. It
costs no call: no model is asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

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
from scorers.words import SPACELESS_CHARACTER, split_words, word_characters
from storage.conversations import content_hash
from storage.examples import Example

Operation: TypeAlias = Literal["replace", "insert", "swap", "delete"]

Synonyms: TypeAlias = Mapping[str, Sequence[str]]
"""Word in lower case → what may stand for it."""

TRIES = 24
"""Draws for each variant, until one is not there yet."""


class WordsAndGaps(NamedTuple):
    """A text as its words and what stands around them: gap i is before word i, the last behind."""

    words: list[str]
    gaps: list[str]


class EDA(UnaskedMakerBlock):
    """Texts with a few words changed: EDA (arXiv:1901.11196)."""

    method: Literal["eda"]
    variants: int = Field(default=4, gt=0, description="Rows made of one, at most.")
    alpha: float = Field(default=0.1, gt=0, lt=1, description="Words changed, as a share.")
    operations: tuple[Operation, ...] = Field(
        default=("replace", "insert", "swap", "delete"),
        min_length=1,
        description="In turn for the variants of a row; replace only with `synonyms`.",
    )
    synonyms: Path | None = Field(
        default=None,
        description="A text file: a line has words, with commas between, of which each may stand "
        "for the others; a line that begins with # is none.",
    )
    longest_answer: int = Field(default=5, gt=0, description="Words of an answer that is a label.")

    @model_validator(mode="after")
    def can_replace(self) -> Self:
        """Check that there is something to replace with, where nothing else is asked for."""
        if {*self.operations} == {"replace"} and self.synonyms is None:
            raise ValueError("replace needs a file of `synonyms`: give one, or other operations")
        return self

    def placed(self, base: Path) -> Self:
        """See AnsweringBlock; its synonyms too."""
        synonyms = self.synonyms and base / self.synonyms
        return super().placed(base).model_copy(update={"synonyms": synonyms})

    def require(self) -> None:
        """See GeneratorBlock."""
        self.known_synonyms()

    def keyed(self) -> dict[str, Any]:
        """See PromptingBlock; synonyms by what they are."""
        return super().keyed() | {"synonyms": self.known_synonyms()}

    def known_synonyms(self) -> Synonyms:
        """Those of the file; none without one.

        Raises:
            UnreadableSourceError: if it is not there, or is none.
        """
        return read_synonyms(self.synonyms) if self.synonyms else {}

    def takes(self, example: Example) -> bool:
        """Rows with one short answer, whose text has two words, not all the same."""
        if not is_asked_once(example):
            return False
        text = last_prompt_text(example)
        return (
            0 < len(split_words(example.response)) <= self.longest_answer
            and len({word.casefold() for word in split_at_words(text).words}) > 1
            and SPACELESS_CHARACTER.search(text) is None
        )

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.variants

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        synonyms = self.known_synonyms()
        return {each.example_id: make_by_eda(self, each, synonyms, seed) for each in sources}


def make_by_eda(settings: EDA, source: Example, synonyms: Synonyms, seed: int) -> Making:
    """Variants of a row, with its answer."""
    yield from ()  # a maker asks; this one nothing
    return [
        Settled((), ask_otherwise(source, text), operation)
        for operation, text in vary_text(settings, source, synonyms, seed)
    ]


def vary_text(
    settings: EDA, source: Example, synonyms: Synonyms, seed: int
) -> list[tuple[Operation, str]]:
    """Variants of the last message of a prompt, each with its operation; no two the same."""
    allowed = [each for each in settings.operations if synonyms or each != "replace"]
    given = last_prompt_text(source)
    found: dict[str, Operation] = {}
    for number in range(settings.variants):
        operation = allowed[number % len(allowed)]
        for attempt in range(TRIES):
            # Of the row and the variant alone, whatever rows there are besides.
            lot = content_hash([seed, "eda", source.example_id, number, attempt])
            rng = np.random.default_rng(int(lot[:16], 16))
            text = change_text(given, operation, settings.alpha, synonyms, rng)
            if text != given and text not in found:
                found[text] = operation
                break
    return [(operation, text) for text, operation in found.items()]


def change_text(
    text: str, operation: Operation, alpha: float, synonyms: Synonyms, rng: np.random.Generator
) -> str:
    """A text after one operation; as it was where that can change nothing."""
    cut = split_at_words(text)
    OPERATIONS[operation](cut, max(1, int(alpha * len(cut.words))), synonyms, rng)
    words = [*cut.words, ""]
    return "".join(gap + word for gap, word in zip(cut.gaps, words, strict=True))


def replace_words(
    cut: WordsAndGaps, count: int, synonyms: Synonyms, rng: np.random.Generator
) -> None:
    """Put synonyms in place of words that have some, with a capital where they had one."""
    known = [at for at, word in enumerate(cut.words) if word.casefold() in synonyms]
    for at in rng.permutation(known)[:count].astype(int):
        said = str(rng.choice(synonyms[cut.words[at].casefold()]))
        cut.words[at] = said[:1].upper() + said[1:] if cut.words[at][0].isupper() else said


def insert_words(
    cut: WordsAndGaps, count: int, synonyms: Synonyms, rng: np.random.Generator
) -> None:
    """Put synonyms of words before others; where no word has one, words of the text."""
    own = [word.casefold() for word in cut.words]
    more = [each for word in own for each in synonyms.get(word, ())] or own
    for _ in range(count):
        at = int(rng.integers(len(cut.words)))
        cut.words.insert(at, str(rng.choice(more)))
        cut.gaps.insert(at + 1, " ")


def swap_words(cut: WordsAndGaps, count: int, synonyms: Synonyms, rng: np.random.Generator) -> None:
    """Give two words each other's place, so many times."""
    for _ in range(count):
        one = int(rng.integers(len(cut.words)))
        others = [at for at, word in enumerate(cut.words) if word != cut.words[one]]
        other = int(rng.choice(others))
        cut.words[one], cut.words[other] = cut.words[other], cut.words[one]


def delete_words(
    cut: WordsAndGaps, count: int, synonyms: Synonyms, rng: np.random.Generator
) -> None:
    """Take words out, and the space that stood around each as well, but for one."""
    for _ in range(count):
        at = int(rng.integers(len(cut.words)))
        before, behind = cut.gaps[at], cut.gaps.pop(at + 1)
        cut.gaps[at] = before if behind.isspace() else before.rstrip() + behind
        cut.words.pop(at)


OPERATIONS: Mapping[
    Operation, Callable[[WordsAndGaps, int, Synonyms, np.random.Generator], None]
] = {
    "replace": replace_words,
    "insert": insert_words,
    "swap": swap_words,
    "delete": delete_words,
}


@cache  # not a constant: see scorers.words
def _whole_word() -> re.Pattern[str]:
    run = word_characters()
    return re.compile(f"({run}(?:['\u2019-]{run})*)")


def split_at_words(text: str) -> WordsAndGaps:
    """A text cut at its words; "don't" and "well-known" are one each."""
    parts = _whole_word().split(text)  # gap, word, gap, …, gap
    return WordsAndGaps(parts[1::2], parts[::2])


def read_synonyms(path: Path) -> Synonyms:
    """Read a file of synonyms.

    Raises:
        UnreadableSourceError: if it is not there, or a line has no two words between commas.
    """
    found: dict[str, list[str]] = {}
    for number, line in read_listed(path):
        words = [word.strip() for word in line.split(",")]
        if len(words) < 2 or "" in words or "=>" in line:
            raise UnreadableSourceError(
                f"{path}, line {number}: expected two words or more with commas between, got "
                f"{line[:60]!r}"
            )
        for word in words:
            known = found.setdefault(word.casefold(), [])
            known += [each for each in words if each != word and each not in known]
    return found
