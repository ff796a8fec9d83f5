"""What a recipe says of its export."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pipeline.settings import Settings

REJECTED: Literal["rejected_answer"] = "rejected_answer"
"""The reason of what a source says to be the worse one of a pair."""

WorseReason = Literal[
    "rejected_answer",
    "wrong_answer",
    "not_best_candidate",
    "low_confidence",
    "below_threshold",
    "above_threshold",
    "below_share",
    "over_budget",
]
"""Reasons of selection that compare a row with others, or with what is right. Not those that say
that it is the same as a kept one, or that nobody knows."""


class ExportSettings(Settings):
    """What is written beside the conversations."""

    pretokenized: bool = Field(
        default=False,
        description="Write the rows as token ids and labels too, which no trainer can read in "
        "another way; a training then takes those, and reads a dialogue once.",
    )
    scores: tuple[str, ...] = Field(
        default=(),
        description="Scores of the recipe that each row has beside it, as columns `score_NAME`: "
        "what a training reads, see train.methods.",
    )

    rejected: tuple[WorseReason, ...] = Field(
        default=(),
        description="Reasons for which an answer was dropped, the best first; one such answer to "
        "the prompt of a kept row stands beside it as `rejected_answer`, where there is one.",
    )

    @model_serializer(mode="wrap")
    def without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings, without later ones that are not used: the export is then as it was."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name == "pretokenized" or value}


PLAIN = ExportSettings()
"""Conversations alone."""
