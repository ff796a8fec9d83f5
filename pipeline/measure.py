"""Measure stage: what a recipe wants asked of models, in which order, of which examples.

Asking is in pipeline/measuring, one file for each measure; cutting the work and storing the
answers is in pipeline/shards.py, the same for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from pipeline.endpoint import find_served
from pipeline.measuring.embeddings import ComparedField, Embeddings
from pipeline.measuring.judgements import Judgements
from pipeline.measuring.languages import Languages
from pipeline.measuring.losses import Losses, LossSettings
from pipeline.measuring.ratings import Ratings, RatingSettings
from pipeline.measuring.samples import Samples, SampleSettings
from pipeline.measuring.token_counts import TokenCounts
from pipeline.measuring.trajectories import TrajectorySettings, pool_trajectories
from pipeline.settings import Part, Settings
from pipeline.shard_work import Measure
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.examples import read_response_lengths
from storage.workspace import Workspace


def embeddings_name(of: ComparedField) -> str:
    """The measure of a run that has the vectors to compare by."""
    return "losses" if of == "hidden" else f"embeddings_{of}"


def ratings_name(block: str) -> str:
    """What the ratings of one block are called in a run."""
    return f"ratings_{block}"


class ConfidenceSettings(Settings):
    """Sampled answers and their judgement, for CLEAR's confidence of the given response."""

    samples: SampleSettings = Field(
        default=SampleSettings(), description="How answers are sampled."
    )
    entailment: str | None = Field(
        default=None,
        description="An NLI model (directory or hub id). Without one the language model is asked "
        "instead, which is only an approximation of published CLEAR.",
    )


class MeasureSettings(Settings):
    """What is asked of models. Token counts are always taken; the rest only if named here."""

    tokens: TokenCounts = Field(default=TokenCounts(), description="How tokens are counted.")
    losses: LossSettings | None = Field(default=None, description="Losses of each response token.")
    embeddings: tuple[Embeddings, ...] = Field(
        default=(), description="Sentence embeddings, a block for each text that is compared."
    )
    trajectories: TrajectorySettings | None = Field(default=None, description="S2L's losses.")
    confidence: ConfidenceSettings | None = Field(default=None, description="CLEAR's answers.")
    ratings: tuple[RatingSettings, ...] = Field(
        default=(), description="A judge's marks, a block for each question that is asked."
    )
    language: Languages | None = Field(default=None, description="Which language a row is in.")

    def names(self) -> set[str]:
        """The measures that scorers will find."""
        asked = {
            "losses": self.losses,
            "trajectories": self.trajectories,
            "judgements": self.confidence,
            "language": self.language,
        }
        embedded = {embeddings_name(each.of) for each in self.embeddings}
        rated = {ratings_name(each.name) for each in self.ratings}
        return {
            "token_counts",
            *embedded,
            *rated,
            *(name for name, block in asked.items() if block),
        }


@dataclass(frozen=True, slots=True)
class Work:
    """One measure and the examples it is wanted of."""

    measure: Measure
    ids: Sequence[str]
    pool: int
    """How many examples the pool has, so that a part can be told from the whole."""
    note: str = ""
    """What the run says of it, behind the number of rows."""


def plan_measures(
    workspace: Workspace, settings: MeasureSettings, pool: Sequence[str], seed: int
) -> dict[str, Work]:
    """Everything to measure, by name, in an order in which each finds what it reads."""
    work = {"token_counts": Work(settings.tokens, pool, len(pool))}
    if settings.losses:
        served = find_served(
            settings.losses.endpoint, settings.losses.served_as or "", workspace.requests
        )
        losses = Losses(settings=settings.losses, served=served)
        work["losses"] = Work(losses, pool, len(pool))
    for each in settings.embeddings:
        work[embeddings_name(each.of)] = Work(each, pool, len(pool))
    if settings.language:
        work["language"] = Work(settings.language, pool, len(pool))
    if settings.confidence:
        asked = settings.confidence.samples
        ids = choose_part(workspace, asked.part, pool, seed)
        served = find_served(asked.endpoint, asked.model, workspace.requests)
        samples = Samples(settings=asked, served=served)
        judge = Judgements(samples=samples, entailment=settings.confidence.entailment)
        work["samples"] = Work(samples, ids, len(pool))
        work["judgements"] = Work(judge, ids, len(pool))
    for block in settings.ratings:
        ids = choose_part(workspace, block.part, pool, seed)
        served = find_served(block.endpoint, block.model, workspace.requests)
        ratings = Ratings(settings=block, served=served)
        work[ratings_name(block.name)] = Work(ratings, ids, len(pool))
    if settings.trajectories:
        ids = choose_part(workspace, settings.trajectories.part, pool, seed)
        measure = pool_trajectories(workspace, settings.trajectories, ids)
        work["trajectories"] = Work(measure, ids, len(pool), measure.note)
    return work


def choose_part(
    workspace: Workspace, part: Part | None, ids: Sequence[str], seed: int
) -> list[str]:
    """The examples of a pool that a part stands for, sorted by id; all of them without a part.

    Examples are ranked by a hash of seed and id, so that a larger part contains a smaller one, and
    rows that come later move few of them.
    """
    if part is None:
        return sorted(ids)
    with read_workspace(workspace) as con:
        lengths = read_response_lengths(con, ids)
    longest = part.longest_response
    fitting = [i for i, length in lengths.items() if longest is None or length <= longest]
    return sorted(sorted(fitting, key=lambda i: content_hash([seed, i]))[: part.rows])
