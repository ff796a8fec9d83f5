"""What a recipe says of its export."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pipeline.settings import Settings


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

    @model_serializer(mode="wrap")
    def without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings, without scores where none are asked for: the export is then as it was."""
        dumped: dict[str, Any] = dump(self)
        return dumped if self.scores else {k: v for k, v in dumped.items() if k != "scores"}


PLAIN = ExportSettings()
"""Conversations alone."""
