"""The methods of training that a recipe can choose from. What each does is in its own file."""

from typing import Annotated

from pydantic import Field

from fine_tune.methods.dft import DFT
from fine_tune.methods.hft import HFT
from fine_tune.methods.lines import LiNeS
from fine_tune.methods.masked_thought import MaskedThought
from fine_tune.methods.poft import PoFT
from fine_tune.methods.tl_training import TLTraining

Method = Annotated[
    TLTraining | MaskedThought | DFT | PoFT | HFT | LiNeS, Field(discriminator="method")
]
"""In a recipe: one of these, by its method."""
