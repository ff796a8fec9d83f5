"""What a training can be told of exports that are mixed, and of stages that follow each other."""

from __future__ import annotations

from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat

from fine_tune.catalogue import Method

OWN = "own"


class MixedExport(BaseModel):
    """Rows of one export, among those that are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    export: str = Field(
        default=OWN,
        min_length=1,
        description="own: the export that is trained on; else the folder of another, or the name "
        "of one in the same workspace, as its recipe or its folder is called.",
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="Share of its rows, drawn by the seed."
    )
    rows: int | None = Field(default=None, ge=1, description="At most so many of its rows.")
    export_id: str | None = Field(
        default=None, description="What the export must be; filled in when a training begins."
    )

    def drawn(self, rows: int) -> int:
        """How many of an export's rows are drawn: their share, rounded up, and at most `rows`."""
        return min(ceil(self.share * rows), self.rows or rows)


class Soup(BaseModel):
    """Which trainings are averaged: one for each seed and rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[NonNegativeInt, ...] = Field(
        default=(), description="Of the trainings; none: that of the training."
    )
    learning_rates: tuple[PositiveFloat, ...] = Field(default=(), description="The same of rates.")
    choose: Literal["uniform", "greedy"] = Field(
        default="greedy",
        description="uniform: all; greedy: by held-out loss, each with which the mean is no worse.",
    )


class TrainStage(BaseModel):
    """One stage of a training; it goes on from the weights of the one before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mix: tuple[MixedExport, ...] = Field(
        default=(MixedExport(),), min_length=1, description="Rows that are trained, all together."
    )
    epochs: float = Field(default=1.0, gt=0, description="Passes over these rows.")
    learning_rate: float | None = Field(
        default=None, gt=0, description="Highest rate; None: that of the training."
    )
    methods: tuple[Method, ...] = Field(default=(), description="As those of a training.")
