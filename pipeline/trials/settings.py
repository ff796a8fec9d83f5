"""What a trial is told: its arms, what they are measured by, and what is to be found."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.contamination.settings import EvaluationSettings
from pipeline.settings import Settings

Control = Literal["random", "length_matched", "longest", "shortest", "pool", "untrained"]
"""What a choice is held against."""

DRAWN = ("random", "length_matched")
"""Controls that a seed draws: each of their trainings has rows of its own."""

Metric = Literal["nll", "choice", "exact"]


class ArmSettings(Settings):
    """Rows that are trained: a stored selection, or a control."""

    selection: str | None = Field(
        default=None,
        description="A selection by its id or name; `choice`: that of the recipe's run.",
    )
    control: Control | None = Field(
        default=None,
        description="random, length_matched (random rows as long as the choice's), longest, "
        "shortest: of the rows that the choice was made from; pool: all of those, whatever the "
        "budget; untrained: the model as it is.",
    )
    draws: int | None = Field(
        default=None,
        ge=1,
        description="Of random and length_matched: draws that the trainings share; one for each "
        "seed if not given, so that the interval holds the chance of the draw.",
    )

    @model_validator(mode="after")
    def is_one_thing(self) -> Self:
        """Refuse an arm that is two things, or none."""
        if (self.selection is None) == (self.control is None):
            raise ValueError("an arm is a selection or a control: give one of the two")
        if self.draws is not None and self.control not in DRAWN:
            raise ValueError(f"draws are for {' and '.join(DRAWN)}: the rows of others are given")
        return self

    @property
    def trained(self) -> bool:
        """Whether there is anything to train."""
        return self.control != "untrained"


class HalvesSettings(Settings):
    """Random halves that scores are held against, of `sluice trial --lds`."""

    scores: tuple[str, ...] = Field(
        default=(), description="Scores of the recipe; all that rank rows if not given."
    )
    halves: int = Field(
        default=24, ge=8, description="Random halves; each is trained `seeds` times."
    )
    rows: int = Field(
        default=400,
        ge=40,
        description="Rows that halves are drawn of, themselves drawn at random from those that the "
        "choice was made from.",
    )
    seeds: int = Field(
        default=2,
        ge=1,
        description="Trainings of each half; two or more tell how far any score could agree.",
    )


class TrialEvaluation(Settings):
    """What the arms are measured by: gold answers, choices, or what another harness found."""

    path: str | None = Field(
        default=None, description="A file of items, relative to the trial's own file."
    )
    held_out: bool = Field(
        default=False,
        description="The rows that the recipe holds out, in place of a file. They are like the "
        "pool, so random rows are at home there: a check, no aim.",
    )
    metric: Metric = Field(
        default="nll",
        description="nll: nats per token of the answers; choice: whether the right one of several "
        "answers is the likeliest, and by how much; exact: a number for each item that "
        "lm-evaluation-harness found, higher is better.",
    )
    samples: str | None = Field(
        default=None,
        description="Of exact: where its per-sample files are, with {training} for the id of the "
        "training: `evals/{training}/*/samples_TASK_*.jsonl`.",
    )
    value: str | None = Field(
        default=None, description="Of exact: the metric's name there, such as exact_match or acc."
    )
    filter: str = Field(default="none", description="Of exact: the filter of the task.")
    prompt: str | None = Field(
        default=None, description="Field of the prompt; rows are recognised by shape if not given."
    )
    answer: str | None = Field(
        default=None,
        description="Field of the answer; of choices its text, its label, or its place from 0.",
    )
    choices: str | None = Field(
        default=None,
        description="Field of the answers to choose from: a list, or lists `text` and `label`.",
    )
    normalise: Literal["characters", "tokens", "none"] = Field(
        default="characters", description="What the log-probability of a choice is divided by."
    )
    cluster: str | None = Field(
        default=None,
        description="Field that items share which belong together, such as a passage; they count "
        "as one then.",
    )
    shape: str | None = Field(default=None, description="Shape of its rows, if not recognised.")

    @model_validator(mode="after")
    def can_be_read(self) -> Self:
        """Refuse what names no items, or no choices."""
        if (self.path is None) == (not self.held_out):
            raise ValueError("give a path, or held_out: true")
        if self.metric == "choice" and not (self.prompt and self.answer and self.choices):
            raise ValueError("metric: choice needs the fields prompt, answer and choices")
        if self.metric == "nll" and self.choices:
            raise ValueError("choices are for metric: choice")
        if self.answer and not self.prompt:
            raise ValueError("answer names a field, so name that of the prompt too")
        if self.held_out and (self.prompt or self.cluster or self.metric != "nll"):
            raise ValueError(
                "held_out rows are the pool's own: they have no fields, and no choices"
            )
        return self

    @model_validator(mode="after")
    def samples_are_found(self) -> Self:
        """Refuse samples of which it is not said where they are, or of what."""
        if (self.metric == "exact") != (self.samples is not None):
            raise ValueError("metric: exact is of samples, and samples of metric: exact")
        if self.samples is not None and not (
            self.path and self.prompt and self.answer and self.value
        ):
            raise ValueError(
                "samples need the path of the task's own file, its fields prompt and answer, and "
                "the value to read"
            )
        if self.samples is not None and "{training}" not in self.samples:
            raise ValueError("samples: say {training} where the id of the training stands")
        return self

    def placed(self, base: Path) -> Self:
        """The same, its path as seen from the working directory."""
        if self.path is None:
            return self
        moved = {"path": EvaluationSettings(path=self.path).placed(base).path}
        if self.samples is not None:
            moved["samples"] = EvaluationSettings(path=self.samples).placed(base).path
        return self.model_copy(update=moved)

    @property
    def primary_metric(self) -> str:
        """The metric of its items that decides."""
        return "margin" if self.metric == "choice" else self.metric
