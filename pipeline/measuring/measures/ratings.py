"""Ratings: how a judge divides its belief between the marks it could give an example."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Annotated, Any, Literal, Self, TypeAlias

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.measuring.endpoint import AskedBlock, ServedMeasure
from pipeline.measuring.judge import judge_of
from pipeline.measuring.measure import Jobs, MeasureScope
from pipeline.measuring.rows import Unmeasured, answer_rows, answer_table, rows_to_ask, split_row
from pipeline.settings import Subset
from scorers.measures.endpoint.judge import check_options
from scorers.measures.models.devices import borrowed_device
from scorers.measures.ratings import MARKS, QUALITY, VERSION, RatedRow, check_template, rate_answers
from storage.measurements import MeasureKey

FIELDS = [
    pa.field("probabilities", pa.list_(pa.float64())),
    pa.field("marks", pa.list_(pa.float64())),
    pa.field("mass", pa.float64()),
]

Option: TypeAlias = Annotated[str, Field(coerce_numbers_to_str=True)]
"""A reply; YAML reads a bare 1 as a number."""


class RatingSettings(AskedBlock):
    """A judge's belief about each example, divided between a few marks: `rating` needs it."""

    name: str = Field(
        default="quality", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="What a score's `of` says."
    )
    template: str | None = Field(
        default=None,
        description="The question, with {prompt} and {response} where they belong; a built-in one "
        "about quality, answered from 1 to 6, if not given.",
    )
    options: tuple[Option, ...] = Field(
        default=MARKS,
        min_length=2,
        description="What the reply may begin with; none may be the beginning of another.",
    )
    better: Literal["high", "low"] = Field(
        default="high",
        description="Which marks are good: low where the question asks for harm or errors. "
        "`sluice screen` goes by it; the score `rating` stays the mark itself.",
    )
    part: Subset | None = Field(default=None, description="Ask about part of the pool only.")

    @model_validator(mode="after")
    def check_question(self) -> Self:
        """Refuse a question that cannot be put, or not be answered with the options."""
        check_options(self.options)
        if self.template is not None:
            check_template(self.template)
        elif self.options != MARKS:
            raise ValueError("the built-in question is answered from 1 to 6: give a template")
        return self

    @property
    def label(self) -> str:
        """What tells this block from others in a run."""
        return self.name

    @property
    def question(self) -> str:
        """What is asked."""
        return QUALITY if self.template is None else self.template

    def marks(self) -> list[float | None]:
        """The numbers that the options stand for; None for an option that is none."""
        return [as_number(option) for option in self.options]


class Ratings(ServedMeasure):
    """The measure, with the server's model where one is asked."""

    settings: RatingSettings

    def key(self) -> MeasureKey:
        """Judge, template, question and options; not what the block is called."""
        settings = {
            "version": VERSION,
            "template": self.settings.question,
            "options": list(self.settings.options),
        }
        return self.chat_key("ratings", self.settings.model, settings)

    def measure(self, examples: pa.Table) -> pa.Table:
        """Ask the judge about each example that has a response."""
        rows = rows_to_ask(examples, rated_row)
        return answer_table(examples, answer_rows(rows, self.rate), FIELDS)

    def rate(self, rows: list[RatedRow]) -> list[Unmeasured]:
        """What was said of each row, with the marks that the probabilities are of."""
        question, options = self.settings.question, self.settings.options
        with borrowed_device():
            judge, fits = judge_of(self.settings.model, self.served)
            rated = rate_answers(rows, question, options, judge, fits)
        marks = self.settings.marks()
        return [asdict(row) | {"marks": marks if row.state == "ok" else None} for row in rated]


def plan_ratings(blocks: Sequence[RatingSettings], scope: MeasureScope, planned: Jobs) -> Jobs:
    """A job for each block, of a subset or of all."""
    requests = scope.workspace.requests
    measures = [Ratings(settings=each, served=each.find_served(requests)) for each in blocks]
    return {ratings_name(m.settings.name): scope.job(m, m.settings.part) for m in measures}


def ratings_name(block: str) -> str:
    """What the ratings of one block are called in a run."""
    return f"ratings_{block}"


def rated_row(row: Mapping[str, Any]) -> RatedRow:
    """What is rated: the response, and the prompt it answers."""
    prompt, response = split_row(row)
    return RatedRow(prompt_messages=prompt, response=response)


def as_number(option: str) -> float | None:
    """The finite number an option stands for."""
    try:
        number = float(option)
    except ValueError:
        return None
    return number if isfinite(number) else None
