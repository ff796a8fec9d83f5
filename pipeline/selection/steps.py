"""The steps a recipe can choose from. What each does, and can be told, is in its own file."""

from typing import Annotated

from pydantic import Field

from pipeline.selection.clear import Clear
from pipeline.selection.diverse import Diverse
from pipeline.selection.dmt import DMT
from pipeline.selection.grape import Grape
from pipeline.selection.random import Random
from pipeline.selection.s2l import S2L
from pipeline.selection.threshold import Threshold
from pipeline.selection.top_k import TopK

Step = Annotated[
    Threshold | Grape | Clear | DMT | TopK | S2L | Diverse | Random,
    Field(discriminator="method"),
]
"""In a recipe: one of these, by its method."""
