"""The steps a recipe can choose from. What each does, and can be told, is in its own file."""

from typing import Annotated

from pydantic import Field

from pipeline.selection.methods.clear import Clear
from pipeline.selection.methods.clear_repair import ClearRepair
from pipeline.selection.methods.correct_answer import CorrectAnswer
from pipeline.selection.methods.diverse import Diverse
from pipeline.selection.methods.dmt import DMT
from pipeline.selection.methods.drop_share import DropShare
from pipeline.selection.methods.dsir import DSIR
from pipeline.selection.methods.facility_location import FacilityLocation
from pipeline.selection.methods.grape import Grape
from pipeline.selection.methods.instag import InsTag
from pipeline.selection.methods.k_centre import KCentre
from pipeline.selection.methods.language import Language
from pipeline.selection.methods.longest import Longest
from pipeline.selection.methods.middle import Middle
from pipeline.selection.methods.not_marked_bad import NotMarkedBad
from pipeline.selection.methods.q_tuning import QTuning
from pipeline.selection.methods.random import Random
from pipeline.selection.methods.s2l import S2L
from pipeline.selection.methods.shortest import Shortest
from pipeline.selection.methods.targets import TargetTurns
from pipeline.selection.methods.threshold import Threshold
from pipeline.selection.methods.top_k import TopK
from pipeline.selection.methods.top_share import TopShare
from pipeline.selection.methods.trained_turns import TrainedTurns

Step = Annotated[
    Threshold
    | TopShare
    | DropShare
    | TrainedTurns
    | CorrectAnswer
    | Grape
    | Clear
    | ClearRepair
    | QTuning
    | DMT
    | Language
    | NotMarkedBad
    | TopK
    | Middle
    | S2L
    | Diverse
    | FacilityLocation
    | KCentre
    | InsTag
    | TargetTurns
    | DSIR
    | Longest
    | Shortest
    | Random,
    Field(discriminator="method"),
]
"""In a recipe: one of these, by its method."""
