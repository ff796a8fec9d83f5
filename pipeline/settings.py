"""What every block of a recipe has in common: it is frozen, and an unknown key is an error."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scorers.names import form_title


class Settings(BaseModel):
    """A block of a recipe. Each field has a description with its unit: it is the help text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, model_title_generator=form_title
    )


Share = Annotated[float, Field(gt=0, le=1)]
"""A share of something, above 0 and at most 1."""

OneLine = Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]+$")]
"""Words of one line."""

TARGET = "target"
"""In a recipe: the model that is going to be fine-tuned."""


class Subset(Settings):
    """Which part of the pool is asked, where asking everything would take too long."""

    rows: int = Field(gt=0, description="How many rows; chosen by a seeded hash of their content.")
    longest_response: int | None = Field(
        default=None, gt=0, description="Leave out responses of more characters than this."
    )
