"""The steps a recipe can choose from: what each can be told, and which method it calls.

A filtering step passes rows on; a ranking step orders what is left and spends the budget, so it
comes last.
"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.candidates import Candidates, Vectors
from pipeline.measuring.embeddings import ComparedField
from pipeline.selection.budget import Budget
from pipeline.selection.clear import select_confident
from pipeline.selection.diverse import select_diverse
from pipeline.selection.grape import select_best_candidates
from pipeline.selection.language import select_language
from pipeline.selection.picked import Picked
from pipeline.selection.random import select_random
from pipeline.selection.s2l import select_s2l
from pipeline.selection.threshold import select_within
from pipeline.selection.top_k import select_top_k
from pipeline.settings import Settings

LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class BudgetSettings(Settings):
    """How much may be picked; exactly one of the three."""

    rows: int | None = Field(default=None, gt=0, description="Rows.")
    loss_tokens: int | None = Field(
        default=None, gt=0, description="Response tokens, as the target's tokenizer counts them."
    )
    fraction: float | None = Field(
        default=None, gt=0, le=1, description="Share of the rows that reach the step."
    )

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        """Check that one limit is given."""
        given = [name for name in ("rows", "loss_tokens", "fraction") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of rows, loss_tokens and fraction, "
                f"got {' and '.join(given) or 'none'}"
            )
        return self

    def budget(self) -> Budget:
        """The same for the methods."""
        return Budget(rows=self.rows, loss_tokens=self.loss_tokens, fraction=self.fraction)


class PassStep(Settings):
    """A step that passes on the rows it has nothing against."""

    method: str

    def pick(self, rows: Candidates) -> Picked:
        """Say which rows pass, and why the others do not."""
        raise NotImplementedError


class FilterStep(PassStep):
    """One that goes by a score."""

    score: str
    unscored: Literal["drop", "keep"] = Field(
        default="drop", description="What happens to rows without the score: keep passes them on."
    )


class RankStep(Settings):
    """A step that orders rows and spends the budget."""

    method: str
    budget: BudgetSettings = Field(description="How much may be picked.")

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Picked:
        """Order the rows and take what the budget pays for."""
        raise NotImplementedError


class Threshold(FilterStep):
    """Keep scores within bounds."""

    method: Literal["threshold"]
    score: str = Field(description="The score that decides.")
    at_least: float | None = Field(default=None, description="The lowest score that stays.")
    at_most: float | None = Field(default=None, description="The highest score that stays.")

    @model_validator(mode="after")
    def one_bound(self) -> Self:
        """Check that there is something to hold scores against."""
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if None not in (self.at_least, self.at_most) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ValueError(f"at_least {self.at_least} is above at_most {self.at_most}")
        return self

    def pick(self, rows: Candidates) -> Picked:
        """Apply the bounds."""
        return select_within(rows.scores[self.score], rows.ids, self.at_least, self.at_most)


class Grape(FilterStep):
    """GRAPE: of several answers to one prompt, keep the likeliest (arXiv 2502.04194)."""

    method: Literal["grape"]
    score: str = Field(default="grape", description="The score that ranks candidates.")
    keep: int = Field(default=1, gt=0, description="Candidates of each prompt that stay.")
    require_alternatives: bool = Field(
        default=False, description="Drop prompts with a single answer, as in the paper."
    )

    def pick(self, rows: Candidates) -> Picked:
        """Keep the best candidates of each prompt."""
        return select_best_candidates(
            rows.scores[self.score],
            rows.column("prompt_id"),
            rows.column("response"),
            rows.ids,
            self.keep,
            self.require_alternatives,
        )


class Clear(FilterStep):
    """CLEAR: keep the half that the model is surer of, or all above a bound (arXiv 2403.12776)."""

    method: Literal["clear"]
    score: str = Field(default="confidence", description="The score that says how sure.")
    above: float | None = Field(
        default=None, description="Keep what is above this; the upper half if not given."
    )
    per_source: bool = Field(default=False, description="Take the half of each source apart.")

    def pick(self, rows: Candidates) -> Picked:
        """Keep the confident rows."""
        groups = rows.sources if self.per_source else None
        return select_confident(rows.scores[self.score], rows.ids, groups, self.above)


class Language(PassStep):
    """Keep the languages that are wanted."""

    method: Literal["language"]
    keep: tuple[LanguageCode, ...] = Field(
        min_length=1, description="Their codes: of ISO 639-1 where there is one, else of 639-3."
    )
    at_least: float = Field(
        default=0.5, ge=0.5, le=1, description="A lower confidence counts as no language."
    )
    unclear: Literal["drop", "keep"] = Field(
        default="drop", description="What happens to rows without a language: keep passes them on."
    )

    def pick(self, rows: Candidates) -> Picked:
        """Look at the language of each row."""
        assert rows.languages is not None
        names, confidence = rows.languages
        unclear = self.unclear == "keep"
        return select_language(names, confidence, rows.ids, self.keep, self.at_least, unclear)


class TopK(RankStep):
    """The highest scores."""

    method: Literal["top_k"]
    score: str = Field(description="The score that ranks.")

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Picked:
        """Rank and cut."""
        budget = self.budget.budget()
        return select_top_k(rows.scores[self.score], rows.ids, budget, rows.loss_tokens)


class S2L(RankStep):
    """S2L: equal shares of every cluster of loss trajectories (arXiv 2403.07384)."""

    method: Literal["s2l"]
    score: str = Field(default="s2l_cluster", description="The score that holds the cluster.")
    per_source: bool = Field(
        default=True, description="Equal shares of every source first, as in the released code."
    )

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Picked:
        """Draw from the clusters."""
        sources = rows.sources if self.per_source else None
        budget = self.budget.budget()
        labels = rows.scores[self.score]
        return select_s2l(labels, rows.ids, budget, rows.loss_tokens, sources, seed)


class Diverse(RankStep):
    """The highest scores that are not too similar to a pick (DEITA's filter, arXiv 2312.15685)."""

    method: Literal["diverse"]
    score: str = Field(description="The score that ranks.")
    max_similarity: float = Field(
        default=0.9, gt=0, le=1, description="Cosine similarity to a pick that is too much."
    )
    text: ComparedField = Field(
        default="both",
        description="The text whose embeddings are compared; hidden: the state kept with losses.",
    )

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Picked:
        """Walk down the ranking, passing over what is too similar."""
        embeddings = vectors(self.text, rows).astype(np.float32)
        budget, scores = self.budget.budget(), rows.scores[self.score]
        return select_diverse(
            scores, embeddings, rows.ids, budget, rows.loss_tokens, self.max_similarity
        )


class Random(RankStep):
    """Rows at random: what every method has to beat."""

    method: Literal["random"]

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Picked:
        """Draw uniformly."""
        return select_random(rows.ids, self.budget.budget(), rows.loss_tokens, seed)


Step = Annotated[
    Threshold | Grape | Clear | Language | TopK | S2L | Diverse | Random,
    Field(discriminator="method"),
]
