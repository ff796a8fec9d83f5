"""Between Arrow columns and the plain rows that the measuring engine takes and gives."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from scorers.measures.chat_format import (
    RenderedExample,
    Template,
    render,
    template_fingerprint,
)
from scorers.measures.models import load_tokenizer, resolve_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STATE_FIELDS = [
    pa.field("example_id", pa.string()),
    pa.field("state", pa.string()),
    pa.field("detail", pa.string()),
]
"""Columns that every measurement has."""


@lru_cache(maxsize=4)
def tokenizer_of(model: str) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model by reference, loaded once per process."""
    return load_tokenizer(resolve_model(model))


def template_of(model: str, template: Template) -> str:
    """Fingerprint of how a model's conversations are rendered."""
    return template_fingerprint(tokenizer_of(model), template)


def render_rows(model: str, template: Template, examples: pa.Table) -> list[RenderedExample | None]:
    """Token ids of each example; None where it has no response."""
    tokenizer = tokenizer_of(model)
    return [
        None
        if row["response_at"] is None
        else render(
            tokenizer,
            orjson.loads(row["messages"]),
            orjson.loads(row["tools"]),
            row["response_at"],
            template,
        )
        for row in examples.to_pylist()
    ]


def no_response() -> dict[str, Any]:
    """The state of an example that is a prompt only."""
    return {"state": "not_applicable", "detail": "the example has no response"}


def answer_table(
    examples: pa.Table, answers: Sequence[dict[str, Any]], fields: Sequence[pa.Field]
) -> pa.Table:
    """Answers as a table aligned with the examples; a number that is not there is null."""
    ids = examples["example_id"].to_pylist()
    rows = [
        {"example_id": example_id, **answer, "detail": answer.get("detail") or ""}
        for example_id, answer in zip(ids, answers, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*STATE_FIELDS, *fields]))
