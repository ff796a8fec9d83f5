"""Token counts: what the trainer will read of an example, and how much of it it is trained on.

Whether an example can be trained at all is found out here as well, since no model is asked: a part
that the template leaves out of a trained turn, a control token that stands in a text.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import (
    TOKENIZER_SHARD_TOKENS,
    ExampleInputs,
    Jobs,
    MeasureScope,
)
from pipeline.measuring.rows import Unmeasured, answer_table, inspect_rows, template_of
from pipeline.settings import TARGET, Settings
from scorers.measures.models.loading import resolve_model
from scorers.measures.reading.chat_format import RenderedExample, RenderingError, Template
from scorers.measures.reading.dialogue import Dialogue, RenderedTurn, join_turns
from scorers.measures.reading.written import Part, find_control_tokens, find_unwritten
from storage.measurements import MeasureKey

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIELDS = [
    pa.field("prompt_tokens", pa.int64()),  # read and not trained, in all rows of the example
    pa.field("response_tokens", pa.int64()),  # trained, in all of them
    pa.field("turn_reads", pa.list_(pa.int64())),  # (trained turns,) of a turn in a row of its own
    pa.field("turn_tokens", pa.list_(pa.int64())),  # of them the trained ones
    pa.field("placements", pa.list_(pa.string())),  # in_place, stop_differs or rewritten
    pa.field("unwritten", pa.list_(pa.string())),  # parts that the template leaves out
    pa.field("unstopped", pa.int64()),  # trained turns that end without a control token
]

VERSION = 2

OnFault = Literal["fail", "keep"]


class TokenCounts(Settings, ExampleInputs):
    """Tokens of prompt and response under the target's tokenizer and template."""

    shard_tokens: ClassVar[int] = TOKENIZER_SHARD_TOKENS

    model: str = Field(default=TARGET, description="Whose tokenizer counts.")
    template: Template = Field(
        default="chat", description="chat: the model's own; question_answer: for a base model."
    )
    max_tokens: int = Field(
        default=1024,
        gt=0,
        description="Tokens the trainer reads of an example; a longer one is marked truncated.",
    )
    unwritten: OnFault = Field(
        default="fail",
        description="An example of which the template leaves out a part of a trained turn, its "
        "reasoning or a call: fail, it cannot be selected; keep, it is trained without.",
    )
    control_tokens: OnFault = Field(
        default="fail",
        description="An example with a control token of the tokenizer in one of its texts, which "
        "would end or forge a turn: fail, it cannot be selected; keep, it is trained as it is.",
    )

    def key(self) -> MeasureKey:
        """Tokenizer, template, window, and what becomes of faults."""
        return MeasureKey(
            measure="token_counts",
            model=self.model,
            model_fingerprint=resolve_model(self.model).fingerprint,
            template_fingerprint=template_of(self.model, self.template),
            settings={
                "version": VERSION,
                "max_tokens": self.max_tokens,
                "unwritten": self.unwritten,
                "control_tokens": self.control_tokens,
            },
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Tokenise, and look for faults; no model is asked."""
        answers = inspect_rows(self.model, self.template, examples, self.count, headers=False)
        return answer_table(examples, answers, FIELDS)

    def count(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        dialogue: Dialogue,
        turns: Sequence[RenderedTurn],
    ) -> Unmeasured:
        """Tokens of one example, or what is wrong with it."""
        trained_at = dialogue.trained_at
        read = dialogue.messages[: turns[-1].message + 1]
        try:
            missing = find_unwritten(tokenizer, read, dialogue.tools, trained_at, self.template)
        except RenderingError as error:
            return {"state": "failed", "detail": str(error)}
        rows = join_turns(turns)
        counts = token_columns(turns, rows, missing)
        trained = [part for part in missing if part.message in trained_at]
        forged = find_control_tokens(tokenizer, read)
        if trained and self.unwritten == "fail":
            return {"state": "failed", "detail": describe_unwritten(trained), **counts}
        if forged and self.control_tokens == "fail":
            return {"state": "failed", "detail": describe_forged(forged), **counts}
        longest = max(len(each.prompt) + len(each.response) for each in rows)
        if longest > self.max_tokens:
            detail = f"{longest} tokens, and the trainer reads {self.max_tokens}"
            return {"state": "truncated", "detail": detail, **counts}
        return {"state": "ok", **counts}


def token_columns(
    turns: Sequence[RenderedTurn], rows: Sequence[RenderedExample], missing: Sequence[Part]
) -> dict[str, Any]:
    """What is stored of an example's tokens: of its trained turns, and the rows they make."""
    trained = sum(row.loss_tokens for row in rows)
    return {
        "prompt_tokens": sum(len(row.prompt) + len(row.response) for row in rows) - trained,
        "response_tokens": trained,
        "turn_reads": [turn.end for turn in turns],
        "turn_tokens": [len(turn.alone.response) for turn in turns],
        "placements": [turn.placement for turn in turns],
        "unwritten": sorted({part.kind for part in missing}),
        "unstopped": sum(turn.stop is None for turn in turns),
    }


def describe_unwritten(parts: Sequence[Part]) -> str:
    """What is wrong with an example of which the template leaves out trained parts."""
    kinds = " and ".join(sorted({part.kind for part in parts}))
    return (
        f"the template leaves out the {kinds} of a trained turn: name one that writes it as the "
        "recipe's `chat_template`, or train without by `unwritten: keep`"
    )


def describe_forged(forged: Sequence[tuple[int, str]]) -> str:
    """What is wrong with an example that holds control tokens."""
    at, token = forged[0]
    return (
        f"message {at + 1} holds the control token {token}, which would end or forge a turn; "
        "`control_tokens: keep` trains it as it is"
    )


def plan_token_counts(block: TokenCounts, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of all examples: nothing can be cut or trained on without."""
    return {"token_counts": scope.job(block)}
