"""What a training can be told of stages that follow each other, and of trainings averaged."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from fine_tune.block import TrainingBlock
from fine_tune.catalogue import Method
from fine_tune.mixed_export import MixedExport


class NamedTraining(TrainingBlock):
    """A training that is there already."""

    training: str = Field(
        min_length=1, description="Its folder, or its id among those of the same workspace."
    )
    key: str | None = Field(
        default=None, description="What it must be; filled in when a soup begins."
    )


class Soup(TrainingBlock):
    """Which trainings are averaged: one for each seed and rate, or some that are there."""

    seeds: tuple[NonNegativeInt, ...] = Field(
        default=(), description="Of the trainings; none: that of the training."
    )
    learning_rates: tuple[PositiveFloat, ...] = Field(default=(), description="The same of rates.")
    trainings: tuple[NamedTraining, ...] = Field(
        default=(),
        description="Trainings that are there already, in place of seeds and rates: of the same "
        "model and tune. Nothing is trained then.",
    )
    choose: Literal["uniform", "greedy"] = Field(
        default="greedy",
        description="uniform: all; greedy: by held-out loss, each with which the mean is no worse.",
    )

    @model_serializer(mode="wrap")
    def without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """All settings, without trainings where none are named: they change no identity."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "trainings" or value}


class TrainStage(TrainingBlock):
    """One stage of a training; it goes on from the weights of the one before."""

    mix: tuple[MixedExport, ...] = Field(
        default=(MixedExport(),), min_length=1, description="Rows that are trained, all together."
    )
    epochs: float = Field(default=1.0, gt=0, description="Passes over these rows.")
    learning_rate: float | None = Field(
        default=None, gt=0, description="Highest rate; None: that of the training."
    )
    methods: tuple[Method, ...] = Field(default=(), description="As those of a training.")
