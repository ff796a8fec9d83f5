"""The steps a recipe can choose from. What each does, and can be told, is in its own file."""

from typing import Annotated

from pydantic import Field

from pipeline.selection.clear import Clear
from pipeline.selection.clear_repair import ClearRepair
from pipeline.selection.correct_answer import CorrectAnswer
from pipeline.selection.diverse import Diverse
from pipeline.selection.dmt import DMT
from pipeline.selection.facility_location import FacilityLocation
from pipeline.selection.grape import Grape
from pipeline.selection.instag import InsTag
from pipeline.selection.k_centre import KCentre
from pipeline.selection.language import Language
from pipeline.selection.q_tuning import QTuning
from pipeline.selection.random import Random
from pipeline.selection.s2l import S2L
from pipeline.selection.threshold import Threshold
from pipeline.selection.top_k import TopK
from pipeline.selection.top_share import TopShare

Step = Annotated[
    Threshold
    | TopShare
    | CorrectAnswer
    | Grape
    | Clear
    | ClearRepair
    | QTuning
    | DMT
    | Language
    | TopK
    | S2L
    | Diverse
    | FacilityLocation
    | KCentre
    | InsTag
    | Random,
    Field(discriminator="method"),
]
"""In a recipe: one of these, by its method."""
