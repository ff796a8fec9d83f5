"""Judgements: whether sampled answers contradict the given one, and what the model itself thinks.

CLEAR (arXiv 2403.12776) scores the *given* target: sampled answers are compared with it, not with
each other. The arithmetic is scorers/confidence.py; here are the probabilities it needs.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.judge import Fits, judge_of
from pipeline.measuring.measure import SAMPLING_SHARD_TOKENS, ExampleInputs, Jobs, MeasureScope
from pipeline.measuring.measures.samples import ConfidenceSettings, Samples
from pipeline.measuring.rows import Unmeasured, answer_rows, answer_table, rows_to_ask, split_row
from pipeline.settings import Settings
from scorers.measures.confidence import VERSION, JudgeRow, judge_answers
from scorers.measures.entailment import CrossEncoderEntailment, PromptedEntailment
from scorers.measures.models.devices import borrowed_device
from scorers.measures.models.loading import resolve_model
from scorers.measures.protocols import EntailmentModel, OptionModel
from storage.database import Connection
from storage.examples import read_example_table
from storage.measurements import MeasureKey, read_answers

FIELDS = [
    pa.field("contradiction_forward", pa.list_(pa.float64())),
    pa.field("contradiction_backward", pa.list_(pa.float64())),
    pa.field("exact_match", pa.list_(pa.bool_())),
    pa.field("reflection", pa.list_(pa.list_(pa.float64()))),
    pa.field("reflection_mass", pa.list_(pa.float64())),
]


class Judgements(Settings, ExampleInputs):
    """Entailment and self-reflection over sampled answers: CLEAR's confidence needs them."""

    shard_tokens: ClassVar[int] = SAMPLING_SHARD_TOKENS
    writes: ClassVar[bool] = True

    samples: Samples = Field(description="The sampled answers that are judged.")
    entailment: str | None = Field(
        default=None,
        description="An NLI model (directory or hub id). Without one the language model is asked "
        "instead, which is only an approximation of published CLEAR.",
    )

    def key(self) -> MeasureKey:
        """The samples' key, and the entailment model."""
        samples = self.samples.key()
        judge = resolve_model(self.entailment).fingerprint if self.entailment else "prompted"
        return MeasureKey(
            measure="judgements",
            model=samples.model,
            model_fingerprint=samples.model_fingerprint,
            template_fingerprint=samples.template_fingerprint,
            settings={"version": VERSION, "samples": samples.measure_key, "entailment": judge},
        )

    def anywhere(self) -> bool:
        """Where the samples are."""
        return self.samples.anywhere()

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples with their sampled answers."""
        examples = read_example_table(con, ids)
        answers = read_answers(con, self.samples.key(), ids)
        return examples.append_column("answers", pa.array(answers, pa.list_(pa.string())))

    def trial_inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples with answers that are written for the plan."""
        examples = read_example_table(con, ids)
        return examples.append_column("answers", self.samples.measure(examples)["answers"])

    def measure(self, examples: pa.Table) -> pa.Table:
        """Judge each given response against the answers sampled for its prompt."""
        rows = rows_to_ask(examples, judge_row)
        return answer_table(examples, answer_rows(rows, self.judge), FIELDS)

    def judge(self, rows: list[JudgeRow]) -> list[Unmeasured]:
        """What both models say of each row."""
        with borrowed_device():
            model, fits = judge_of(self.samples.settings.model, self.samples.served)
            entailment = self.entailment_model(model, fits)
            return [asdict(row) for row in judge_answers(rows, entailment, model, fits)]

    def entailment_model(self, model: OptionModel, fits: Fits | None) -> EntailmentModel:
        """The NLI model, or the language model in its place."""
        if self.entailment is None:
            return PromptedEntailment(model, fits)
        return CrossEncoderEntailment.from_directory(resolve_model(self.entailment).path)


def judge_row(row: dict[str, Any]) -> JudgeRow:
    """What is judged: the prompt, its given response, and the answers sampled for it."""
    prompt, response = split_row(row)
    return JudgeRow(prompt_messages=prompt, target=response, samples=row["answers"] or [])


def plan_judgements(block: ConfidenceSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of the examples whose answers are sampled."""
    sampled = planned["samples"]
    assert isinstance(sampled.measure, Samples)
    judge = Judgements(samples=sampled.measure, entailment=block.entailment)
    return {"judgements": replace(sampled, measure=judge)}
