"""Measure stage: what a recipe wants asked of models, in which order, of which examples.

Asking is in pipeline/measuring, one file for each measure; cutting the work and storing the
answers is in pipeline/measuring/shards.py, the same for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from pipeline.measuring.endpoint import find_served
from pipeline.measuring.measures.cappy import CappySettings, plan_cappy
from pipeline.measuring.measures.context import Context, ContextSettings
from pipeline.measuring.measures.embeddings import ComparedField, Embeddings
from pipeline.measuring.measures.gradients import pool_gradients
from pipeline.measuring.measures.judgements import Judgements
from pipeline.measuring.measures.languages import Languages
from pipeline.measuring.measures.losses import Losses, LossSettings
from pipeline.measuring.measures.preferences import Preferences, PreferenceSettings
from pipeline.measuring.measures.ratings import Ratings, RatingSettings
from pipeline.measuring.measures.samples import Samples, SampleSettings
from pipeline.measuring.measures.tags import TagReplies, Tags, TagSettings
from pipeline.measuring.measures.token_counts import TokenCounts
from pipeline.measuring.measures.trajectories import TrajectorySettings, pool_trajectories
from pipeline.measuring.measures.turn_ratings import TurnRated, TurnRatingSettings
from pipeline.measuring.shard_work import Measure
from pipeline.measuring.warm_up import GradientSettings
from pipeline.settings import Settings, Subset
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
        """The measures that scorers will find."""
        asked = {
            "losses": self.losses,
            "trajectories": self.trajectories,
            "gradients": self.gradients,
            "judgements": self.confidence,
            "turn_ratings": self.turn_ratings,
            "tags": self.tags,
            "preferences": self.preferences,
            "context": self.context,
            "cappy": self.cappy,
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
class Repairs:
    """The repairs of a run."""

    key: str
    """Their generation key."""
    source_ids: Sequence[str]
    """The run's sources: what stands there was given, though it be a repair of something too."""


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """One measure and the examples it is wanted of."""

    measure: Measure
    ids: Sequence[str]
    pool: int
    """How many examples the pool has, so that a part can be told from the whole."""
    note: str = ""
    """What the run says of it, behind the number of rows."""


@dataclass(frozen=True, slots=True)
class MeasureScope:
    """The rows that measures are wanted of."""

    workspace: Workspace
    pool: Sequence[str]
    seed: int
    """The recipe's, for measures that are wanted of a part."""

    def part(self, part: Subset | None) -> list[str]:
        """The rows of the pool that a part stands for."""
        return choose_subset(self.workspace, part, self.pool, self.seed)

    def job(self, measure: Measure, part: Subset | None) -> MeasureJob:
        """A measure that is wanted of a part of the pool, or of all of it."""
        return MeasureJob(measure, self.part(part), len(self.pool))


def plan_measures(
    workspace: Workspace,
    settings: MeasureSettings,
    pool: Sequence[str],
    seed: int,
    targets: Sequence[str] = (),
    repairs: Repairs | None = None,
) -> dict[str, MeasureJob]:
    """Everything to measure, by name, in an order in which each finds what it reads.

    Args:
        workspace: where it is stored.
        settings: what is asked.
        pool: example ids.
        seed: the recipe's, for measures that are wanted of a part.
        targets: examples that rows are compared with; they are measured like the pool for that.
        repairs: those that the run generated; their confidence is not measured.

    Raises:
        ValueError: if preferences are wanted, but nothing was repaired.
    """
    wanted = MeasureScope(workspace, pool, seed)
    job = plan_readings(settings, wanted, targets)
    if settings.confidence:
        job |= plan_confidence(settings.confidence, wanted, repairs)
    if settings.preferences:
        job["preferences"] = plan_preferences(workspace, settings.preferences, pool, repairs)
    job |= plan_marks(settings, wanted)
    return job | plan_trainings(settings, wanted, targets, job.get("samples"))


def plan_readings(
    settings: MeasureSettings, wanted: MeasureScope, targets: Sequence[str]
) -> dict[str, MeasureJob]:
    """What a model that stays as it is says on reading a row."""
    workspace, pool = wanted.workspace, wanted.pool
    job = {"token_counts": MeasureJob(settings.tokens, pool, len(pool))}
    if settings.losses:
        name = settings.losses.served_as or ""
        served = find_served(settings.losses.endpoint, name, workspace.requests)
        job["losses"] = MeasureJob(Losses(settings=settings.losses, served=served), pool, len(pool))
    for each in settings.embeddings:
        ids = sorted({*pool, *targets})
        note = f"; {len(ids) - len(pool)} of them are targets only" if targets else ""
        job[embeddings_name(each.of)] = MeasureJob(each, ids, len(ids), note)
    if settings.language:
        job["language"] = MeasureJob(settings.language, pool, len(pool))
    if settings.context:
        job["context"] = wanted.job(Context(settings=settings.context), settings.context.part)
    return job


def plan_confidence(
    settings: ConfidenceSettings, wanted: MeasureScope, repairs: Repairs | None
) -> dict[str, MeasureJob]:
    """Sampled answers and what judges them; not for the repairs, which would replace a row."""
    workspace, asked = wanted.workspace, settings.samples
    made: set[str] = set()
    if repairs is not None:
        with read_workspace(workspace) as con:
            made = read_made(con, repairs.key, repairs.source_ids)
    given = [example_id for example_id in wanted.pool if example_id not in made]
    ids = choose_subset(workspace, asked.part, given, wanted.seed)
    served = find_served(asked.endpoint, asked.model, workspace.requests)
    samples = Samples(settings=asked, served=served)
    judge = Judgements(samples=samples, entailment=settings.entailment)
    pool = len(wanted.pool)
    return {"samples": MeasureJob(samples, ids, pool), "judgements": MeasureJob(judge, ids, pool)}


def plan_marks(settings: MeasureSettings, wanted: MeasureScope) -> dict[str, MeasureJob]:
    """What a judge says of rows: marks, marks of each turn, tags."""
    workspace = wanted.workspace
    job: dict[str, MeasureJob] = {}
    for block in settings.ratings:
        served = find_served(block.endpoint, block.model, workspace.requests)
        ratings = Ratings(settings=block, served=served)
        job[ratings_name(block.name)] = wanted.job(ratings, block.part)
    if settings.turn_ratings:
        rated = TurnRated.find(settings.turn_ratings, workspace)
        job["turn_ratings"] = wanted.job(rated, settings.turn_ratings.part)
    if settings.tags:
        ids = wanted.part(settings.tags.part)
        job |= plan_tags(workspace, settings.tags, ids, len(wanted.pool))
    return job


def plan_trainings(
    settings: MeasureSettings,
    wanted: MeasureScope,
    targets: Sequence[str],
    answered: MeasureJob | None,
) -> dict[str, MeasureJob]:
    """What models say that are trained on the pool for it."""
    workspace, pool = wanted.workspace, wanted.pool
    job: dict[str, MeasureJob] = {}
    if settings.cappy:
        ids = wanted.part(settings.cappy.part)
        job["cappy"] = learn_pairs(workspace, settings.cappy, ids, pool, answered)
    if settings.trajectories:
        ids = wanted.part(settings.trajectories.part)
        measure = pool_trajectories(workspace, settings.trajectories, ids)
        job["trajectories"] = MeasureJob(measure, ids, len(pool), measure.note)
    if settings.gradients:
        of_pool, of_targets, note = pool_gradients(workspace, settings.gradients, pool)
        job["gradients"] = MeasureJob(of_pool, pool, len(pool), note)
        if targets:
            job["target_gradients"] = MeasureJob(of_targets, sorted(targets), len(targets))
    return job


def plan_tags(
    workspace: Workspace, settings: TagSettings, ids: Sequence[str], pool: int
) -> dict[str, MeasureJob]:
    """What is written of the prompts, and then how it is named."""
    served = find_served(settings.endpoint, settings.model, workspace.requests)
    replies = TagReplies(settings=settings, served=served)
    tags = Tags(replies=replies, pool=content_hash(ids))
    return {"tag_replies": MeasureJob(replies, ids, pool), "tags": MeasureJob(tags, ids, pool)}


def plan_preferences(
    workspace: Workspace,
    settings: PreferenceSettings,
    pool: Sequence[str],
    repairs: Repairs | None,
) -> MeasureJob:
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
    return MeasureJob(measure, sorted(repaired), len(pool))


def learn_pairs(
    workspace: Workspace,
    settings: CappySettings,
    ids: Sequence[str],
    pool: Sequence[str],
    answered: MeasureJob | None,
) -> MeasureJob:
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
    return MeasureJob(measure, ids, len(pool), measure.note)


def choose_subset(
    workspace: Workspace, part: Subset | None, ids: Sequence[str], seed: int
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
