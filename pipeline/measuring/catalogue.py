"""The measures: what a recipe asks for them by, what is stored of a row, and how each is planned.

To add one: write measures/NAME.py and its test, and add its block to MeasureSettings and its line
to MEASURES below. Whatever else must know of a measure, its view, the checks of a recipe, backfills
and the documentation, reads it here.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import Jobs, MeasureScope
from pipeline.measuring.measures import (
    cappy,
    context,
    embeddings,
    gradients,
    judgements,
    languages,
    losses,
    preferences,
    ratings,
    samples,
    tags,
    token_counts,
    trajectories,
    turn_ratings,
)
from pipeline.measuring.measures.cappy import CappySettings
from pipeline.measuring.measures.context import ContextSettings
from pipeline.measuring.measures.embeddings import Embeddings
from pipeline.measuring.measures.languages import Languages
from pipeline.measuring.measures.losses import LossSettings
from pipeline.measuring.measures.preferences import PreferenceSettings
from pipeline.measuring.measures.ratings import RatingSettings
from pipeline.measuring.measures.samples import ConfidenceSettings
from pipeline.measuring.measures.tags import TagSettings
from pipeline.measuring.measures.token_counts import TokenCounts
from pipeline.measuring.measures.trajectories import TrajectorySettings
from pipeline.measuring.measures.turn_ratings import TurnRatingSettings
from pipeline.measuring.warm_up import GradientSettings
from pipeline.settings import Settings


class MeasureSettings(Settings):
    """What is asked of models. Token counts are always taken; the rest only if named here."""

    tokens: TokenCounts = Field(default=TokenCounts(), description="How tokens are counted.")
    losses: LossSettings | None = Field(default=None, description="Losses of each response token.")
    embeddings: tuple[Embeddings, ...] = Field(
        default=(), description="Sentence embeddings, a block for each text that is compared."
    )
    trajectories: TrajectorySettings | None = Field(default=None, description="S2L's losses.")
    gradients: GradientSettings | None = Field(default=None, description="LESS's gradients.")
    confidence: ConfidenceSettings | None = Field(default=None, description="CLEAR's answers.")
    context: ContextSettings | None = Field(
        default=None, description="Attention that responses pay to the users' text."
    )
    cappy: CappySettings | None = Field(
        default=None, description="A model trained on the pool: which response fits which prompt."
    )
    ratings: tuple[RatingSettings, ...] = Field(
        default=(), description="A judge's marks, a block for each question that is asked."
    )
    turn_ratings: TurnRatingSettings | None = Field(
        default=None, description="DEITA's marks, of every turn."
    )
    tags: TagSettings | None = Field(default=None, description="InsTag's tags of each prompt.")
    preferences: PreferenceSettings | None = Field(
        default=None, description="A judge's choice between each response and its repair."
    )
    language: Languages | None = Field(default=None, description="Which language a row is in.")

    def names(self) -> set[str]:
        """The measures that scorers will find, as a run calls them."""
        return {name for each in MEASURES for name in run_names(each, self)}

    def only(self, wanted: Collection[str]) -> "MeasureSettings":
        """The blocks that ask for the measures wanted, as a run calls them; tokens are counted."""
        kept = {
            field: needed_block(field, getattr(self, field), wanted)
            for field in type(self).model_fields
            if field != MEASURES["token_counts"].block
        }
        return self.model_copy(update=kept)


Plan = Callable[[Any, MeasureScope, Jobs], Jobs]
"""From the block of the recipe, the rows of the run and the jobs so far: a measure's own jobs."""


@dataclass(frozen=True, slots=True)
class MeasureEntry:
    """One kind of measurement."""

    block: str
    """The field of MeasureSettings that asks for it."""
    columns: Sequence[pa.Field]
    """What is stored of a row, beside its id, key and state."""
    plan: Plan
    asks_model: bool = True
    """Whether a model of the recipe is asked."""
    whole_pool: bool = False
    """Whether a row's numbers depend on the other rows: then it cannot be had of a part of them."""
    of_repairs: bool = False
    """Whether it is of what a run generated, and cannot be had without."""


MEASURES: dict[str, MeasureEntry] = {
    "token_counts": MeasureEntry(
        "tokens", token_counts.FIELDS, token_counts.plan_token_counts, asks_model=False
    ),
    "losses": MeasureEntry("losses", losses.FIELDS, losses.plan_losses),
    "embeddings": MeasureEntry("embeddings", embeddings.FIELDS, embeddings.plan_embeddings),
    "language": MeasureEntry(
        "language", languages.FIELDS, languages.plan_languages, asks_model=False
    ),
    "context": MeasureEntry("context", context.FIELDS, context.plan_context),
    "samples": MeasureEntry("confidence", samples.FIELDS, samples.plan_samples),
    "judgements": MeasureEntry("confidence", judgements.FIELDS, judgements.plan_judgements),
    "preferences": MeasureEntry(
        "preferences", preferences.FIELDS, preferences.plan_preferences, of_repairs=True
    ),
    "ratings": MeasureEntry("ratings", ratings.FIELDS, ratings.plan_ratings),
    "turn_ratings": MeasureEntry(
        "turn_ratings", turn_ratings.FIELDS, turn_ratings.plan_turn_ratings
    ),
    "tag_replies": MeasureEntry("tags", tags.REPLY_FIELDS, tags.plan_tag_replies),
    "tags": MeasureEntry("tags", tags.FIELDS, tags.plan_tags, whole_pool=True),
    "cappy": MeasureEntry("cappy", cappy.FIELDS, cappy.plan_cappy, whole_pool=True),
    "trajectories": MeasureEntry(
        "trajectories", trajectories.FIELDS, trajectories.plan_trajectories, whole_pool=True
    ),
    "gradients": MeasureEntry("gradients", gradients.FIELDS, gradients.plan_gradients),
}
"""In the order in which they are asked: a measure may read what stands before it."""

VIEW_COLUMNS = {name: entry.columns for name, entry in MEASURES.items()}
"""What the view of each measure is declared with, for who reads before anything is stored."""


def run_names(measure: str, settings: MeasureSettings) -> Iterator[str]:
    """What a measure is called in a run: its name, with a label where it has several blocks."""
    block = getattr(settings, MEASURES[measure].block)
    if isinstance(block, tuple):
        yield from (f"{measure}_{each.label}" for each in block)
    elif block is not None:
        yield measure


def needed_block(field: str, block: object, wanted: Collection[str]) -> object:
    """The block of a recipe, or those of its blocks, that ask for a measure that is wanted."""
    measures = [name for name, entry in MEASURES.items() if entry.block == field]
    if isinstance(block, tuple):
        return tuple(b for b in block if any(f"{m}_{b.label}" in wanted for m in measures))
    return block if any(name in wanted for name in measures) else None


def asks_model(name: str) -> bool:
    """Whether a model is asked for what a run calls so."""
    return name not in MEASURES or MEASURES[name].asks_model
