"""Losses: what a language model says of every token of a response, with its prompt and without."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.measuring.endpoint import Endpoint, ServedMeasure, find_served
from pipeline.measuring.measure import Jobs, MeasureScope
from pipeline.measuring.rows import (
    Unmeasured,
    answer_rows,
    answer_table,
    content_ends,
    reasoning_spans,
    render_examples,
    template_of,
)
from pipeline.settings import TARGET, Settings
from scorers.arrays import Ints
from scorers.measures.endpoint.losses import EndpointLosses
from scorers.measures.losses import join_losses, measure_losses
from scorers.measures.models.devices import borrowed_device, resolve_dtype
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.protocols import LossModel
from scorers.measures.reading.chat_format import Template
from scorers.measures.reading.dialogue import RenderedTurn
from scorers.measures.reading.reasoning import Span
from storage.conversations import content_hash
from storage.measurements import MeasureKey

FLOATS = pa.list_(pa.float32())
DOUBLES = pa.list_(pa.float64())

FIELDS = [  # losses and entropies in nats; `alone`: of the response without its prompt
    pa.field("response_tokens", pa.int64()),
    pa.field("mean_nll", pa.float64()),
    pa.field("mean_nll_alone", pa.float64()),
    pa.field("sum_nll", pa.float64()),
    pa.field("sum_nll_alone", pa.float64()),
    pa.field("mean_entropy", pa.float64()),
    pa.field("mean_entropy_alone", pa.float64()),
    pa.field("top1_rate", pa.float64()),  # share of tokens that were the model's first choice
    pa.field("top1_rate_alone", pa.float64()),
    pa.field("nll", FLOATS),  # (response_tokens,), as are all lists but the last
    pa.field("nll_alone", FLOATS),
    pa.field("entropy", FLOATS),
    pa.field("entropy_alone", FLOATS),
    pa.field("top1", pa.list_(pa.bool_())),
    pa.field("top1_alone", pa.list_(pa.bool_())),
    pa.field("vector", FLOATS),  # (hidden size,)
    pa.field("turn_tokens", pa.list_(pa.int64())),  # (trained turns,), as are those that follow
    pa.field("turn_nll", DOUBLES),  # sums over the tokens of a turn
    pa.field("turn_nll_alone", DOUBLES),
    pa.field("turn_entropy", DOUBLES),
    pa.field("turn_stop_nll", DOUBLES),  # of the turn's last token that is no line break
    pa.field("turn_reasoning_tokens", pa.list_(pa.int64())),  # of turn_tokens those of reasoning
    pa.field("turn_reasoning_nll", DOUBLES),  # their part of turn_nll
    pa.field("mean_el2n", pa.float64()),  # with the prompt; null if it was not asked for
    pa.field("el2n", FLOATS),  # (response_tokens,) |p - y|
    pa.field("weighted_vector", pa.list_(pa.float16())),  # (hidden size,) of length 1
]

VERSION = 2

VECTOR_OF = "last content token"
"""What a vector is the state of; the key of losses with vectors has it."""


class LossSettings(Settings):
    """Losses and entropies of each response token: perplexity, both IFDs and GRAPE need them."""

    model: str = Field(
        default=TARGET,
        description="The model that reads the examples; of an endpoint, the one it serves.",
    )
    template: Template = Field(
        default="chat",
        description="chat: the model's own; question_answer: GRAPE's minimal one; plain: none, as "
        "Superfiltering's scorer reads.",
    )
    max_tokens: int = Field(
        default=1024,
        gt=0,
        description="Tokens of prompt and response the model reads; a longer example is not read, "
        "and marked truncated.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto: bfloat16 where the device multiplies it natively, else float32. Of an "
        "endpoint: what its server was started with, which it does not say itself.",
    )
    vectors: bool = Field(
        default=False,
        description="Keep the model's last hidden state where each response's content ends, to "
        "compare them by, after DEITA. 4 bytes for each of the model's dimensions.",
    )
    weighted_vectors: bool = Field(
        default=False,
        description="Keep the mean of the model's last hidden states over prompt and response, "
        "later tokens weighted more, to compare rows with targets by, after RDS+. The targets are "
        "read too. 2 bytes for each of the model's dimensions.",
    )
    el2n: bool = Field(
        default=False,
        description="Keep how far from certain of each response token the model is, the length of "
        "p - y, for the scorer of that name. 4 bytes for each token.",
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="Ask a vLLM server instead of loading the model here; it tells no entropies.",
    )
    served_as: str | None = Field(
        default=None, description="What the endpoint calls the model; must be given with one."
    )

    @model_validator(mode="after")
    def check_endpoint(self) -> Self:
        """Refuse what a server cannot give."""
        if (self.endpoint is None) != (self.served_as is None):
            raise ValueError("endpoint and served_as go together: give both, or none of them")
        if self.endpoint and (self.vectors or self.weighted_vectors):
            name = "vectors" if self.vectors else "weighted_vectors"
            raise ValueError(f"an endpoint gives no hidden states: leave {name} out, or endpoint")
        if self.endpoint and self.el2n:
            raise ValueError("an endpoint gives no distributions: leave el2n out, or endpoint")
        if self.endpoint and self.endpoint.batch:
            raise ValueError("losses are not asked in batches: leave batch out of the endpoint")
        return self


class Losses(ServedMeasure):
    """The measure, with the server's model where one is asked."""

    settings: LossSettings

    def key(self) -> MeasureKey:
        """Model, template, window and dtype; of a server also what it says of itself."""
        settings = self.settings
        own = resolve_model(settings.model).fingerprint  # its tokenizer is used here all the same
        dtype = f"served {settings.dtype}" if self.served else resolve_dtype(settings.dtype)
        return MeasureKey(
            measure="losses",
            model=settings.model,
            model_fingerprint=content_hash([own, self.served.fingerprint]) if self.served else own,
            template_fingerprint=template_of(settings.model, settings.template),
            settings={
                "version": VERSION,
                "max_tokens": settings.max_tokens,
                "dtype": dtype,
                # Of a workspace from before, true: the state of the last token, the template's.
                "vectors": settings.vectors and VECTOR_OF,
                # Came later: what was measured without it keeps its key.
                **({"el2n": True} if settings.el2n else {}),
                **({"weighted_vectors": True} if settings.weighted_vectors else {}),
            },
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Ask the model for both losses of each example."""
        rendered = render_examples(self.settings.model, self.settings.template, examples)
        answers = answer_rows(rendered, self.ask)
        spans = reasoning_spans(self.settings.model, self.settings.template, examples, rendered)
        told = [with_reasoning(*each) for each in zip(answers, spans, strict=True)]
        return answer_table(examples, told, FIELDS)

    def ask(self, dialogues: list[list[RenderedTurn]]) -> list[Unmeasured]:
        """Both losses of each dialogue, of all its turns together and of each by itself.

        Each turn is read behind all that stands before it, which costs nothing twice: the engine
        reads once what several texts begin with.
        """
        settings, ends = self.settings, np.cumsum([len(turns) for turns in dialogues])
        rows = [turn.alone for turns in dialogues for turn in turns]
        at = content_ends(settings.model, settings.template, rows) if settings.vectors else []
        with borrowed_device():
            model, most = self.model(), settings.max_tokens
            # Of a dialogue that of its last turn, which is read behind all others.
            last = np.isin(np.arange(len(rows)), ends - 1) & settings.weighted_vectors
            losses = measure_losses(
                model, rows, most, at, el2n=settings.el2n, weighted=last.tolist()
            )
        starts = ends - [len(turns) for turns in dialogues]
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        joined = [
            join_losses(losses[start:end], [turn.stop for turn in turns])
            for (start, end), turns in zip(spans, dialogues, strict=True)
        ]
        return [with_lists(asdict(row)) for row in joined]

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        """(n,) a row with its prompt, and its response without."""
        return tokens + response_tokens

    def model(self) -> LossModel:
        """The model to ask, on the device that is borrowed or behind the endpoint."""
        if self.served:
            return EndpointLosses(self.served.connect())
        return load_language_model(resolve_model(self.settings.model), self.settings.dtype)


def plan_losses(block: LossSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of all examples, and where vectors are compared with them, of the targets."""
    served = find_served(block.endpoint, block.served_as or "", scope.workspace.requests)
    measure = Losses(settings=block, served=served)
    return {"losses": scope.with_targets(measure) if block.weighted_vectors else scope.job(measure)}


def with_lists(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer with its arrays as lists."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in answer.items()
    }


def with_reasoning(answer: Unmeasured, spans: Sequence[Span | None]) -> Unmeasured:
    """An answer with what of each turn's loss is its reasoning's.

    Null where that cannot be told of one: to other turns alone no number would belong.
    """
    known = [span for span in spans if span is not None]
    if answer["state"] != "ok" or len(known) < len(spans):
        return answer
    starts = np.cumsum([0, *answer["turn_tokens"]])[:-1].tolist()
    parts = [
        np.asarray(answer["nll"][start + first : start + end], dtype=np.float64)
        for start, (first, end) in zip(starts, known, strict=True)
    ]
    return {
        **answer,
        "turn_reasoning_tokens": [len(part) for part in parts],
        "turn_reasoning_nll": [float(part.sum()) for part in parts],
    }
