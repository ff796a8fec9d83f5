"""The generators a recipe can choose from. What each asks and makes is in its own file."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Tag

from pipeline.generation.makers.r_tuning import RTuning
from pipeline.generation.makers.rejection import Rejection
from pipeline.generation.makers.s3ft import S3FT
from pipeline.generation.makers.self_instruct import SelfInstruct
from pipeline.generation.makers.step_by_step import StepByStep
from pipeline.generation.stage import GenerateSettings

ANSWERS = "answer"


def generator_tag(block: object) -> str:
    """The method of a block; `repair` is a way of `answer`, which is also what none means."""
    if isinstance(block, Mapping):
        method = str(block.get("method", ANSWERS))
    else:
        method = str(getattr(block, "method", ANSWERS))
    return ANSWERS if method == "repair" else method


AnyMaker = RTuning | Rejection | S3FT | SelfInstruct | StepByStep
"""The blocks that the engine runs."""

Generator = Annotated[
    Annotated[GenerateSettings, Tag(ANSWERS)]
    | Annotated[RTuning, Tag("r_tuning")]
    | Annotated[Rejection, Tag("rejection")]
    | Annotated[S3FT, Tag("s3ft")]
    | Annotated[SelfInstruct, Tag("self_instruct")]
    | Annotated[StepByStep, Tag("step_by_step")],
    Discriminator(generator_tag),
]
"""In a recipe: one of these, by its method."""

MAKERS: Mapping[str, type[AnyMaker]] = {
    "r_tuning": RTuning,
    "rejection": Rejection,
    "s3ft": S3FT,
    "self_instruct": SelfInstruct,
    "step_by_step": StepByStep,
}
