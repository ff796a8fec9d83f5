"""Deduplicate stage: copies by words, meaning or a passage go, the best-scored stays.

Every removal names the example that is kept in its place and how similar the two are. A removed
example always has a kept one within the threshold: nothing goes because of something that went.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline.candidates import (
    Candidates,
    Vectors,
    count_step,
    decide,
    read_candidates,
    read_vectors,
)
from pipeline.dedupe.minhash import remove_near_duplicates
from pipeline.dedupe.semantic import remove_similar
from pipeline.dedupe.substring import SPAN_WORDS, remove_shared_spans
from pipeline.measuring.embeddings import ComparedField, TextField
from pipeline.run_context import RunContext
from pipeline.selection.picked import Picked
from pipeline.settings import Settings
from scorers.arrays import Floats
from storage.database import open_workspace
from storage.runs import write_step


class DedupeStep(Settings):
    """What every kind of deduplication can be told."""

    method: str
    keep: str | None = Field(
        default=None,
        description="The score that decides which copy stays, the higher one; an example without "
        "it stays last. The lowest example_id if not given.",
    )

    def keep_scores(self, rows: Candidates) -> Floats:
        """(n,) what decides between copies; NaN where nothing does."""
        return rows.score(self.keep) if self.keep else np.full(len(rows), np.nan)


class MinHash(DedupeStep):
    """Near-duplicates: texts that share most of their word n-grams."""

    method: Literal["minhash"]
    text: TextField = Field(default="both", description="The text that is compared.")
    threshold: float = Field(
        default=0.7, ge=0.1, le=1, description="Jaccard similarity of word n-grams, at or above."
    )
    words: int = Field(default=5, gt=0, description="Words in an n-gram.")

    def remove(self, rows: Candidates, vectors: Vectors) -> Picked:
        """Compare words."""
        texts = rows.texts(self.text)
        scores = self.keep_scores(rows)
        return remove_near_duplicates(texts, scores, rows.ids, self.threshold, self.words)


class Semantic(DedupeStep):
    """Semantic duplicates: texts whose embeddings point the same way."""

    method: Literal["semantic"]
    text: ComparedField = Field(
        default="both",
        description="The text whose embeddings are compared; hidden: the state kept with losses.",
    )
    threshold: float = Field(
        default=0.95, gt=0, le=1, description="Cosine similarity, at or above."
    )

    def remove(self, rows: Candidates, vectors: Vectors) -> Picked:
        """Compare embeddings."""
        embeddings = vectors(self.text, rows).astype(np.float32)
        return remove_similar(embeddings, self.keep_scores(rows), rows.ids, self.threshold)


class Substring(DedupeStep):
    """Rows that share a long passage word for word."""

    method: Literal["substring"]
    text: TextField = Field(default="both", description="The text that is compared.")
    words: int = Field(default=SPAN_WORDS, gt=0, description="Words of a shared passage, at least.")
    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of a row's words that such passages in one other row must cover for it "
        "to go; one passage is enough if not given.",
    )

    @property
    def threshold(self) -> int:
        """What a pair is held against, for the label of the step."""
        return self.words

    def remove(self, rows: Candidates, vectors: Vectors) -> Picked:
        """Compare passages."""
        texts = rows.texts(self.text)
        scores = self.keep_scores(rows)
        return remove_shared_spans(texts, scores, rows.ids, self.words, self.share)


Dedupe = Annotated[MinHash | Semantic | Substring, Field(discriminator="method")]


def deduplicate_examples(
    run: RunContext, steps: Sequence[MinHash | Semantic | Substring], pool: Sequence[str]
) -> list[str]:
    """Remove duplicates step by step; store every decision; return the ids that are left."""
    with open_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        for number, step in enumerate(steps, start=1):
            picked = step.remove(rows, partial(read_vectors, con, run))
            decisions = decide(rows, picked)
            label = f"{step.method} on {step.text}, at {step.threshold:g}"
            write_step(
                con, run.run_id, count_step("dedupe", number, label, decisions.reasons), decisions
            )
            rows = rows.where(picked.reasons == "")
    return [str(example_id) for example_id in rows.ids]
