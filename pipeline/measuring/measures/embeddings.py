"""Embeddings: one unit vector for each example, of its prompt, its response or both."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import ExampleInputs, Jobs, MeasureScope
from pipeline.measuring.rows import Unmeasured, answer_rows, answer_table
from pipeline.settings import Settings
from scorers.measures.models.devices import borrowed_device
from scorers.measures.models.loading import load_embedder, resolve_model
from storage.conversations import TextField, compared_text
from storage.measurements import MeasureKey

FIELDS = [pa.field("embedding", pa.list_(pa.float32())), pa.field("chunks", pa.int64())]

VERSION = 1


ComparedField = Literal["prompt", "response", "both", "hidden", "weighted"]
"""What rows are compared by: an embedded text, or hidden states kept with the losses: that of the
last token of the content, or the mean of all, weighted by position."""

STATES = {"hidden": "vector", "weighted": "weighted_vector"}
"""Of those that are kept with the losses, the column."""


class Embeddings(Settings, ExampleInputs):
    """Sentence embeddings: semantic deduplication and diverse selection need them."""

    model: str = Field(
        default="wheel:all-minilm-l6-v2", description="A sentence-transformers model."
    )
    of: TextField = Field(default="both", description="Which text is embedded.")

    @property
    def label(self) -> str:
        """What tells this block from others in a run."""
        return self.of

    def key(self) -> MeasureKey:
        """Model and text."""
        return MeasureKey(
            measure="embeddings",
            model=self.model,
            model_fingerprint=resolve_model(self.model).fingerprint,
            template_fingerprint="",
            settings={"version": VERSION, "of": self.of},
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Embed each text; a long one in pieces, none cut."""
        nothing = {"state": "not_applicable", "detail": f"no {self.of} text"}
        texts = example_texts(examples.to_pylist(), self.of)
        asked = [text if text.strip() else nothing for text in texts]
        return answer_table(examples, answer_rows(asked, self.embed), FIELDS)

    def embed(self, texts: list[str]) -> list[Unmeasured]:
        """The vector of each text, and of how many pieces it is the mean."""
        with borrowed_device():
            embedded = load_embedder(resolve_model(self.model)).embed_with_chunks(texts)
        pairs = zip(embedded.vectors.tolist(), embedded.chunks.tolist(), strict=True)
        return [{"state": "ok", "embedding": vector, "chunks": n} for vector, n in pairs]


def plan_embeddings(blocks: Sequence[Embeddings], scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of all examples, and of the targets that they are compared with."""
    return {embeddings_name(each.of): scope.with_targets(each) for each in blocks}


def embeddings_name(of: ComparedField) -> str:
    """The measure of a run that has the vectors to compare by."""
    return "losses" if of in STATES else f"embeddings_{of}"


def example_texts(rows: Sequence[Mapping[str, Any]], of: TextField) -> list[str]:
    """The text of each example that is compared."""
    return [
        compared_text(of, row["prompt"], None if row["response_at"] is None else row["response"])
        for row in rows
    ]
