"""Samples: answers that a model gives to a prompt, to compare the given one with."""

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson
import pyarrow as pa
from pydantic import Field

from pipeline.measuring.endpoint import AskedBlock, ServedMeasure, generator_of
from pipeline.measuring.measure import (
    SAMPLING_SHARD_TOKENS,
    Jobs,
    MeasureJob,
    MeasureScope,
    choose_subset,
)
from pipeline.measuring.rows import answer_table, no_response, prompt_key, split_row
from pipeline.settings import Settings, Subset
from scorers.measures.models.devices import borrowed_device
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure, GenerationRequest
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.measurements import MeasureKey
from storage.repairs import read_made

FIELDS = [pa.field("answers", pa.list_(pa.string())), pa.field("finished", pa.list_(pa.bool_()))]

VERSION = 1

Sampled = GeneratedAnswer | GenerationFailure


class SampleSettings(AskedBlock):
    """Answers sampled from a model, a few for each prompt: CLEAR's consistency needs them."""

    answers: int = Field(default=5, gt=0, description="Answers for each prompt.")
    temperature: float = Field(default=1.0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="Tokens of an answer at most.")
    seed: int = Field(default=0, ge=0, description="Of the sampling.")
    part: Subset | None = Field(default=None, description="Ask for part of the pool only.")


class ConfidenceSettings(Settings):
    """Sampled answers and their judgement, for CLEAR's confidence of the given response."""

    samples: SampleSettings = Field(
        default=SampleSettings(), description="How answers are sampled."
    )
    entailment: str | None = Field(
        default=None,
        description="An NLI model (directory or hub id). Without one the language model is asked "
        "instead, which is only an approximation of published CLEAR.",
    )


class Samples(ServedMeasure):
    """The measure, with the server's model where one is asked."""

    shard_tokens: ClassVar[int] = SAMPLING_SHARD_TOKENS
    writes: ClassVar[bool] = True

    settings: SampleSettings

    def key(self) -> MeasureKey:
        """Model, template and how it samples; not how much of the pool is asked."""
        sampling = {"answers", "temperature", "max_new_tokens", "seed"}
        settings = {"version": VERSION, **self.settings.model_dump(include=sampling)}
        return self.chat_key("samples", self.settings.model, settings)

    def measure(self, examples: pa.Table) -> pa.Table:
        """Sample answers; candidates of one prompt share them."""
        rows = examples.to_pylist()
        requests = self.requests(rows)
        flat = [request for group in requests.values() for request in group]
        with borrowed_device():
            sampled = iter(generator_of(self.settings.model, self.served).sample(flat))
        by_prompt = {prompt: [next(sampled) for _ in group] for prompt, group in requests.items()}
        answers = [
            no_response() if row["response_at"] is None else combine(by_prompt[prompt_key(row)])
            for row in rows
        ]
        return answer_table(examples, answers, FIELDS)

    def requests(self, rows: Sequence[dict[str, Any]]) -> dict[str, list[GenerationRequest]]:
        """prompt_key → its requests; the seed of each depends on nothing but prompt and number."""
        return {
            prompt_key(row): [
                GenerationRequest(
                    messages=split_row(row)[0],
                    tools=orjson.loads(row["tools"]),
                    temperature=self.settings.temperature,
                    max_new_tokens=self.settings.max_new_tokens,
                    seed=request_seed(self.settings.seed, prompt_key(row), attempt),
                )
                for attempt in range(self.settings.answers)
            ]
            for row in rows
            if row["response_at"] is not None
        }


def request_seed(seed: int, prompt_id: str, attempt: int) -> int:
    """A seed of 63 bits for one answer to one prompt."""
    # 16 hex digits are 64 bits; without the last the number fits an int64, as torch seeds with.
    return int(content_hash([seed, prompt_id, attempt])[:16], 16) >> 1


def combine(sampled: Sequence[Sampled]) -> dict[str, Any]:
    """The answers to one prompt; failed ones are left out, and all failed is a failure."""
    answers = [answer for answer in sampled if isinstance(answer, GeneratedAnswer)]
    failures = [failure for failure in sampled if isinstance(failure, GenerationFailure)]
    detail = "; ".join(sorted({f"{failure.reason}: {failure.detail}" for failure in failures}))
    if not answers:
        return {"state": "failed", "detail": detail}
    return {
        "state": "ok",
        "detail": detail,
        "answers": [answer.text for answer in answers],
        "finished": [answer.finished for answer in answers],
    }


def plan_samples(block: ConfidenceSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of a subset, or of all; not of the repairs, each of which would replace a row."""
    asked, repairs = block.samples, scope.repairs
    made: set[str] = set()
    if repairs is not None:
        with read_workspace(scope.workspace) as con:
            made = read_made(con, repairs.key, repairs.source_ids)
    given = [example_id for example_id in scope.pool if example_id not in made]
    ids = choose_subset(scope.workspace, asked.part, given, scope.seed)
    served = asked.find_served(scope.workspace.requests)
    return {"samples": MeasureJob(Samples(settings=asked, served=served), ids, len(scope.pool))}
