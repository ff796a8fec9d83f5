"""Token counts: what the trainer will read of an example, and how much of it it is trained on."""

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import ExampleInputs, Jobs, MeasureScope
from pipeline.measuring.rows import Unmeasured, answer_rows, answer_table, render_rows, template_of
from pipeline.settings import TARGET, Settings
from scorers.measures.models.loading import resolve_model
from scorers.measures.reading.chat_format import RenderedExample, Template
from storage.measurements import MeasureKey

FIELDS = [pa.field("prompt_tokens", pa.int64()), pa.field("response_tokens", pa.int64())]

VERSION = 1


class TokenCounts(Settings, ExampleInputs):
    """Tokens of prompt and response under the target's tokenizer and template."""

    model: str = Field(default=TARGET, description="Whose tokenizer counts.")
    template: Template = Field(
        default="chat", description="chat: the model's own; question_answer: for a base model."
    )
    max_tokens: int = Field(
        default=1024,
        gt=0,
        description="Tokens the trainer reads of an example; a longer one is marked truncated.",
    )

    def key(self) -> MeasureKey:
        """Tokenizer, template and window."""
        return MeasureKey(
            measure="token_counts",
            model=self.model,
            model_fingerprint=resolve_model(self.model).fingerprint,
            template_fingerprint=template_of(self.model, self.template),
            settings={"version": VERSION, "max_tokens": self.max_tokens},
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Tokenise; no model is asked."""
        rendered = render_rows(self.model, self.template, examples)
        answers = answer_rows(rendered, lambda rows: map(self.count, rows))
        return answer_table(examples, answers, FIELDS)

    def count(self, row: RenderedExample) -> Unmeasured:
        """Tokens of one example."""
        prompt, response = len(row.prompt), len(row.response)
        tokens = {"prompt_tokens": prompt, "response_tokens": response}
        if prompt + response > self.max_tokens:
            detail = f"{prompt + response} tokens, and the trainer reads {self.max_tokens}"
            return {"state": "truncated", "detail": detail, **tokens}
        return {"state": "ok", **tokens}


def plan_token_counts(block: TokenCounts, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of all examples: nothing can be cut or trained on without."""
    return {"token_counts": scope.job(block)}
