"""What every block of a recipe has in common: it is frozen, and an unknown key is an error."""

import re
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field


def form_title(block: type) -> str:
    """What a form calls a block: its method, as a recipe has it, or the name of its class in words.

    Prefect makes a tab of each kind of block that may stand in a place.
    """
    if methods := get_args(block.__annotations__.get("method")):
        return str(methods[0])
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", block.__name__).removesuffix(" Settings")
    return words.capitalize()


class Settings(BaseModel):
    """A block of a recipe. Each field has a description with its unit: it is the help text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, model_title_generator=form_title
    )


Share = Annotated[float, Field(gt=0, le=1)]
"""A share of something, above 0 and at most 1."""

TARGET = "target"
"""In a recipe: the model that is going to be fine-tuned."""


class Subset(Settings):
    """Which part of the pool is asked, where asking everything would take too long."""

    rows: int = Field(gt=0, description="How many rows; chosen by a seeded hash of their content.")
    longest_response: int | None = Field(
        default=None, gt=0, description="Leave out responses of more characters than this."
    )
