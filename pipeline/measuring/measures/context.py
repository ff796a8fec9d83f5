"""Context dependency: how much of a response's attention goes to what the user wrote."""

from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import ExampleInputs, Jobs, MeasureScope
from pipeline.measuring.rows import Unmeasured, answer_table, find_row_turns, template_of
from pipeline.settings import TARGET, Settings, Subset
from scorers.measures.context import VERSION, ContextRow, default_layer, measure_context
from scorers.measures.models.devices import borrowed_device, resolve_dtype
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.protocols import AttentionModel
from scorers.measures.reading.turn_tokens import TurnTokens
from storage.measurements import MeasureKey

SHARES = ("all_turns", "current_turn", "all_turns_of_means", "current_turn_of_means")
"""Numbers of a turn; a column of the trained one, and `each_…` of every assistant turn."""

FIELDS = [
    *(pa.field(name, pa.float64()) for name in SHARES),
    pa.field("turns", pa.list_(pa.int64())),
    pa.field("turn_tokens", pa.list_(pa.int64())),
    *(pa.field(f"each_{name}", pa.list_(pa.float64())) for name in SHARES),
]


class ContextSettings(Settings):
    """Attention that responses pay to the users' text: `context_dependency` needs it."""

    model: str = Field(default=TARGET, description="The probe: a chat model, loaded here.")
    layer: int | None = Field(
        default=None,
        ge=0,
        description="Which decoder layer's attention is read, counted from 0; not given: the one "
        "at 15/22 of the model's depth, as the authors' is.",
    )
    max_tokens: int = Field(
        default=2048,
        gt=0,
        description="Tokens of a conversation up to its response; a longer one is not read, and "
        "marked truncated. Memory grows with heads times the square of it.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto: bfloat16 where the device multiplies it natively, else float32.",
    )
    part: Subset | None = Field(default=None, description="Ask about part of the pool only.")


class Context(Settings, ExampleInputs):
    """The measure."""

    settings: ContextSettings

    def key(self) -> MeasureKey:
        """Probe, template, layer, window and dtype."""
        settings = self.settings
        return MeasureKey(
            measure="context",
            model=settings.model,
            model_fingerprint=resolve_model(settings.model).fingerprint,
            template_fingerprint=template_of(settings.model, "chat"),
            settings={
                "version": VERSION,
                "layer": settings.layer,
                "max_tokens": settings.max_tokens,
                "dtype": resolve_dtype(settings.dtype),
            },
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Read the probe's attention over each example."""
        found = find_row_turns(self.settings.model, examples)
        places = examples["response_at"].to_pylist()  # index of the response among the messages
        with borrowed_device():
            probe = load_language_model(resolve_model(self.settings.model), self.settings.dtype)
            answers = [
                self.ask(probe, turns, at) if isinstance(turns, TurnTokens) else turns
                for turns, at in zip(found, places, strict=True)
            ]
        return answer_table(examples, answers, FIELDS)

    def ask(self, probe: AttentionModel, turns: TurnTokens, response_at: int) -> Unmeasured:
        """The numbers of one example."""
        given = self.settings.layer  # 0 is the first layer, and not the same as none given
        layer = default_layer(probe.layers) if given is None else given
        longest = self.settings.max_tokens
        return context_answer(measure_context(probe, turns, response_at, layer, longest))


def context_answer(row: ContextRow) -> dict[str, Any]:
    """The columns of one example: of the trained turn, the last, and of each assistant turn."""
    if row.state != "ok":
        return {"state": row.state, "detail": row.detail}
    each = {f"each_{name}": [getattr(turn, name) for turn in row.turns] for name in SHARES}
    return {
        "state": "ok",
        **{name: each[f"each_{name}"][-1] for name in SHARES},  # turns end with the response
        "turns": [turn.message for turn in row.turns],
        "turn_tokens": [turn.tokens for turn in row.turns],
        **each,
    }


def plan_context(block: ContextSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of a subset, or of all."""
    return {"context": scope.job(Context(settings=block), block.part)}
