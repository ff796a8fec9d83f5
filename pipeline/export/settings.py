"""What a recipe says of its export."""

from pydantic import Field

from pipeline.settings import Settings


class ExportSettings(Settings):
    """What is written beside the conversations."""

    pretokenized: bool = Field(
        default=False,
        description="Write the rows as token ids and labels too, which no trainer can read in "
        "another way; a training then takes those, and reads a dialogue once.",
    )


PLAIN = ExportSettings()
"""Conversations alone."""
