"""Measure stage: what a recipe wants asked of models, in which order, of which examples.

Asking is in pipeline/measuring, one file for each measure; cutting the work and storing the
answers is in pipeline/shards.py, the same for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from pipeline.endpoint import find_served
from pipeline.measuring.cappy import CappySettings, plan_cappy
from pipeline.measuring.context import Context, ContextSettings
from pipeline.measuring.embeddings import ComparedField, Embeddings
from pipeline.measuring.judgements import Judgements
from pipeline.measuring.losses import Losses, LossSettings
from pipeline.measuring.preferences import Preferences, PreferenceSettings
from pipeline.measuring.ratings import Ratings, RatingSettings
from pipeline.measuring.samples import Samples, SampleSettings
from pipeline.measuring.tags import TagReplies, Tags, TagSettings
from pipeline.measuring.token_counts import TokenCounts
from pipeline.measuring.trajectories import TrajectorySettings, pool_trajectories
from pipeline.measuring.turn_ratings import TurnRated, TurnRatingSettings
from pipeline.settings import Part, Settings
from pipeline.shard_work import Measure
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.examples import read_response_lengths
from storage.repairs import read_made, read_repairs
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

    def names(self) -> set[str]:
        """The measures that scorers will find."""
        asked = {
            "losses": self.losses,
            "trajectories": self.trajectories,
            "judgements": self.confidence,
            "turn_ratings": self.turn_ratings,
            "tags": self.tags,
            "preferences": self.preferences,
            "context": self.context,
            "cappy": self.cappy,
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
class Repairs:
    """The repairs of a run."""

    key: str
    """Their generation key."""
    source_ids: Sequence[str]
    """The run's sources: what stands there was given, though it be a repair of something too."""


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
    workspace: Workspace,
    settings: MeasureSettings,
    pool: Sequence[str],
    seed: int,
    repairs: Repairs | None = None,
) -> dict[str, Work]:
    """Everything to measure, by name, in an order in which each finds what it reads.

    Args:
        workspace: where it is stored.
        settings: what is asked.
        pool: example ids.
        seed: the recipe's, for measures that are wanted of a part.
        repairs: those that the run generated; their confidence is not measured.

    Raises:
        ValueError: if preferences are wanted, but nothing was repaired.
    """
    made: set[str] = set()
    if repairs is not None:
        with read_workspace(workspace) as con:
            made = read_made(con, repairs.key, repairs.source_ids)
    work = {"token_counts": Work(settings.tokens, pool, len(pool))}
    if settings.losses:
        served = find_served(
            settings.losses.endpoint, settings.losses.served_as or "", workspace.requests
        )
        losses = Losses(settings=settings.losses, served=served)
        work["losses"] = Work(losses, pool, len(pool))
    for each in settings.embeddings:
        work[embeddings_name(each.of)] = Work(each, pool, len(pool))
    if settings.confidence:
        asked = settings.confidence.samples
        given = [example_id for example_id in pool if example_id not in made]
        ids = choose_part(workspace, asked.part, given, seed)
        served = find_served(asked.endpoint, asked.model, workspace.requests)
        samples = Samples(settings=asked, served=served)
        judge = Judgements(samples=samples, entailment=settings.confidence.entailment)
        work["samples"] = Work(samples, ids, len(pool))
        work["judgements"] = Work(judge, ids, len(pool))
    if settings.preferences:
        work["preferences"] = plan_preferences(workspace, settings.preferences, pool, repairs)
    if settings.context:
        ids = choose_part(workspace, settings.context.part, pool, seed)
        work["context"] = Work(Context(settings=settings.context), ids, len(pool))
    if settings.cappy:
        ids = choose_part(workspace, settings.cappy.part, pool, seed)
        work["cappy"] = learn_pairs(workspace, settings.cappy, ids, pool, work.get("samples"))
    for block in settings.ratings:
        ids = choose_part(workspace, block.part, pool, seed)
        served = find_served(block.endpoint, block.model, workspace.requests)
        ratings = Ratings(settings=block, served=served)
        work[ratings_name(block.name)] = Work(ratings, ids, len(pool))
    if settings.turn_ratings:
        ids = choose_part(workspace, settings.turn_ratings.part, pool, seed)
        work["turn_ratings"] = Work(
            TurnRated.find(settings.turn_ratings, workspace), ids, len(pool)
        )
    if settings.tags:
        ids = choose_part(workspace, settings.tags.part, pool, seed)
        work |= plan_tags(workspace, settings.tags, ids, len(pool))
    if settings.trajectories:
        ids = choose_part(workspace, settings.trajectories.part, pool, seed)
        measure = pool_trajectories(workspace, settings.trajectories, ids)
        work["trajectories"] = Work(measure, ids, len(pool), measure.note)
    return work


def plan_tags(
    workspace: Workspace, settings: TagSettings, ids: Sequence[str], pool: int
) -> dict[str, Work]:
    """What is written of the prompts, and then how it is named."""
    served = find_served(settings.endpoint, settings.model, workspace.requests)
    replies = TagReplies(settings=settings, served=served)
    tags = Tags(replies=replies, pool=content_hash(ids))
    return {"tag_replies": Work(replies, ids, pool), "tags": Work(tags, ids, pool)}


def plan_preferences(
    workspace: Workspace,
    settings: PreferenceSettings,
    pool: Sequence[str],
    repairs: Repairs | None,
) -> Work:
    """The comparison of every row with its repair, where it has one."""
    if repairs is None:
        raise ValueError(
            "measure.preferences compares responses with their repairs, and this run generated "
            "none: run a recipe with a block {method: repair} under `generate`"
        )
    with read_workspace(workspace) as con:
        repaired = read_repairs(con, repairs.key, pool)
    served = find_served(settings.endpoint, settings.model, workspace.requests)
    measure = Preferences(settings=settings, repairs=repairs.key, served=served)
    return Work(measure, sorted(repaired), len(pool))


def learn_pairs(
    workspace: Workspace,
    settings: CappySettings,
    ids: Sequence[str],
    pool: Sequence[str],
    answered: Work | None,
) -> Work:
    """The work of a correctness model; it also learns from sampled answers if it is told to.

    Args:
        workspace: with the examples.
        settings: of the recipe.
        ids: what it learns from and scores.
        pool: all examples.
        answered: the work of sampling answers, where there is such.
    """
    samples = answered.measure if answered and settings.samples else None
    assert samples is None or isinstance(samples, Samples)
    sampled = answered.ids if answered and samples else ()
    measure = plan_cappy(workspace, settings, ids, samples, sampled)
    return Work(measure, ids, len(pool), measure.note)


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
