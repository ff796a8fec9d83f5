"""Losses: what a language model says of every token of a response, with its prompt and without."""

from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.measuring.rows import (
    Problem,
    answer_rendered,
    answer_table,
    render_rows,
    template_of,
)
from pipeline.settings import TARGET, Settings
from pipeline.shards import ExampleInputs
from scorers.measures.chat_format import RenderedExample, Template
from scorers.measures.devices import borrowed_device, resolve_dtype
from scorers.measures.losses import measure_losses
from scorers.measures.models import load_language_model, resolve_model
from storage.measurements import MeasureKey

FLOATS = pa.list_(pa.float32())

FIELDS = [
    pa.field("response_tokens", pa.int64()),
    pa.field("mean_nll", pa.float64()),
    pa.field("mean_nll_alone", pa.float64()),
    pa.field("sum_nll", pa.float64()),
    pa.field("sum_nll_alone", pa.float64()),
    pa.field("mean_entropy", pa.float64()),
    pa.field("mean_entropy_alone", pa.float64()),
    pa.field("top1_rate", pa.float64()),
    pa.field("top1_rate_alone", pa.float64()),
    pa.field("nll", FLOATS),
    pa.field("nll_alone", FLOATS),
    pa.field("entropy", FLOATS),
    pa.field("entropy_alone", FLOATS),
    pa.field("top1", pa.list_(pa.bool_())),
    pa.field("top1_alone", pa.list_(pa.bool_())),
    pa.field("vector", FLOATS),
]

VERSION = 2


class Losses(Settings, ExampleInputs):
    """Losses and entropies of each response token: perplexity, both IFDs and GRAPE need them."""

    model: str = Field(default=TARGET, description="The model that reads the examples.")
    template: Template = Field(
        default="chat", description="chat: the model's own; question_answer: GRAPE's minimal one."
    )
    max_tokens: int = Field(
        default=1024,
        gt=0,
        description="Tokens of prompt and response the model reads; a longer example is not read, "
        "and marked truncated.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto: bfloat16 where the device multiplies it natively, else float32.",
    )
    vectors: bool = Field(
        default=False,
        description="Keep the model's last hidden state of each example, to compare them by: "
        "DEITA's embedding. 4 bytes for each of the model's dimensions.",
    )

    def key(self) -> MeasureKey:
        """Model, template, window and dtype."""
        dtype = resolve_dtype(self.dtype)
        return MeasureKey(
            measure="losses",
            model=self.model,
            model_fingerprint=resolve_model(self.model).fingerprint,
            template_fingerprint=template_of(self.model, self.template),
            settings={
                "version": VERSION,
                "max_tokens": self.max_tokens,
                "dtype": dtype,
                "vectors": self.vectors,
            },
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Ask the model for both losses of each example."""
        rendered = render_rows(self.model, self.template, examples)
        answers = answer_rendered(rendered, self.ask)
        return answer_table(examples, answers, FIELDS)

    def ask(self, rows: list[RenderedExample]) -> list[Problem]:
        """Both losses of each row."""
        with borrowed_device():
            model = load_language_model(resolve_model(self.model), self.dtype)
            losses = measure_losses(model, rows, self.max_tokens, self.vectors)
        return [plain(asdict(row)) for row in losses]


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer with its arrays as lists."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in answer.items()
    }
