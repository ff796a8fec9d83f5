"""What a training can be told of stages that follow each other, and of trainings averaged."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat

from fine_tune.catalogue import Method
from fine_tune.mixed_export import MixedExport


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
