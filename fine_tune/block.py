"""What the blocks of a training have in common, as those of a recipe do: frozen, no unknown key."""

from pydantic import BaseModel, ConfigDict

from scorers.names import form_title


class TrainingBlock(BaseModel):
    """A block of `train`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, model_title_generator=form_title
    )
