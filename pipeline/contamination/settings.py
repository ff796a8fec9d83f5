"""The check block of a recipe: against what rows are compared, by which rules, and what follows."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field

from pipeline.contamination.ngrams import NGramRule
from pipeline.contamination.texts import MATCHED, Matched, Numbers
from pipeline.ingest.readers import SourceFormat
from pipeline.ingest.stage import SourceSettings
from pipeline.settings import Settings, Share
from storage.conversations import TextField

Action = Literal["report", "flag", "remove"]

DEFAULT_COVERAGE = 0.5


class EvaluationSettings(Settings):
    """Evaluation sets: they are read, and never written to, changed or made smaller."""

    path: str = Field(
        description="A file, a folder whose files are all read, a glob pattern, a directory "
        "written by `save_to_disk`, or hub:ORG/NAME. Relative to the recipe."
    )
    name: str | None = Field(
        default=None, description="What hits call it; the name of the file if not given."
    )
    prompt: str | None = Field(
        default=None,
        description="The field with the prompt; rows are recognised by their shape if not given.",
    )
    answer: str | None = Field(
        default=None, description="The field with the answer, beside `prompt`; none if not given."
    )
    format: SourceFormat | None = Field(
        default=None, description="How the file is written; told from its suffix if not given."
    )
    shape: str | None = Field(
        default=None,
        description="The shape of its rows, where no `prompt` is named; recognised if not given.",
    )

    @property
    def source(self) -> SourceSettings:
        """The same as a source, to find its files."""
        return SourceSettings(path=self.path, format=self.format, shape=self.shape)

    def placed(self, base: Path) -> Self:
        """The same set; its path, relative to `base`, as seen from the working directory."""
        return self.model_copy(update={"path": self.source.placed(base).path})


class NGramSettings(Settings):
    """A rule on shared word n-grams; a recipe can have several."""

    words: int = Field(
        default=13,
        ge=2,
        le=100,
        description="Words in an n-gram; without spaces, characters that say as much.",
    )
    rule: Literal["any", "coverage"] = Field(
        default="any",
        description="any: one shared n-gram is a hit; coverage: enough of the item must be shared.",
    )
    threshold: Share | None = Field(
        default=None,
        description="For coverage: share of the words of prompt, answer or overlap that shared "
        f"n-grams cover, at or above. {DEFAULT_COVERAGE} if not given.",
    )
    compare: tuple[Matched, ...] = Field(
        default=MATCHED,
        min_length=1,
        description="Parts of an item, each matched by itself; overlap: from prompt into answer.",
    )
    numbers: Numbers = Field(
        default="exact", description="any: all numbers are the same word, so changed ones match."
    )
    shared_by: int = Field(
        default=20,
        gt=0,
        description="An n-gram that more items of a set share is its template, and no evidence.",
    )

    @property
    def matching(self) -> NGramRule:
        """The rule as the matcher takes it."""
        return NGramRule(
            words=self.words,
            threshold=None if self.rule == "any" else self.threshold or DEFAULT_COVERAGE,
            compare=self.compare,
            numbers=self.numbers,
            shared_by=self.shared_by,
        )


class SemanticCheck(Settings):
    """Semantic neighbours; the embeddings of the rows are those of `measure.embeddings`."""

    threshold: float = Field(default=0.9, gt=0, le=1, description="Cosine similarity, at or above.")
    text: TextField = Field(default="prompt", description="The text that is compared.")


NEAR_COPIES = NGramSettings(
    words=5, rule="coverage", threshold=0.7, compare=("prompt",), numbers="any"
)
"""Finds prompts whose sentences were reordered or whose numbers were changed."""


def as_list(value: object) -> object:
    """Let one rule be given without a list around it, and none as null."""
    if value is None:
        return ()
    return (value,) if isinstance(value, dict | NGramSettings) else value


NGramRules = Annotated[tuple[NGramSettings, ...], BeforeValidator(as_list)]


class CheckSettings(Settings):
    """Contamination: which rows hold something of an evaluation set, and what becomes of them."""

    against: tuple[EvaluationSettings, ...] = Field(min_length=1, description="Evaluation sets.")
    ngrams: NGramRules = Field(
        default=(NGramSettings(),), description="Rules on word n-grams, one or a list; null: none."
    )
    short: bool = Field(
        default=True,
        description="Find prompts of fewer words than the longest n-gram where they are the same.",
    )
    semantic: SemanticCheck | None = Field(default=None, description="Semantic neighbours.")
    action: Action = Field(
        default="report",
        description="report: hits are stored; flag: and stand beside the row's decision; remove: "
        "rows with a hit are dropped.",
    )
    leaks: int = Field(
        default=50,
        ge=0,
        description="Leaks of each kind that are injected in memory, to measure how many of them "
        "the rules find; 0: none.",
    )

    @property
    def short_words(self) -> int:
        """A prompt of fewer words is short."""
        return max((block.words for block in self.ngrams), default=NGramSettings().words)

    @property
    def line(self) -> str:
        """The check in one line, for the dataset card."""
        sets = ", ".join(each.name or Path(each.path).name for each in self.against)
        rules = [block.matching.name for block in self.ngrams]
        rules += ["short prompts"] if self.short else []
        if self.semantic:
            rules.append(f"embeddings of {self.semantic.text} at {self.semantic.threshold:g}")
        return f"{self.action} rows that hold something of {sets} ({'; '.join(rules)})"

    def placed(self, base: Path) -> Self:
        """The same check; its paths, relative to `base`, as seen from the working directory."""
        return self.model_copy(update={"against": tuple(e.placed(base) for e in self.against)})
