"""Measure stage: what a recipe wants asked of models, in which order, of which examples.

Asking is in pipeline/measuring, one file for each measure; cutting the work and storing the
answers is in pipeline/shards.py, the same for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from pipeline.measuring.embeddings import Embeddings, TextField
from pipeline.measuring.judgements import Judgements
from pipeline.measuring.losses import Losses
from pipeline.measuring.samples import Samples
from pipeline.measuring.token_counts import TokenCounts
from pipeline.measuring.trajectories import TrajectorySettings, pool_trajectories
from pipeline.settings import Part, Settings
from pipeline.shards import Measure
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.examples import read_response_lengths
from storage.workspace import Workspace


def embeddings_name(of: TextField) -> str:
    """What the embeddings of one text are called in a run."""
    return f"embeddings_{of}"


class ConfidenceSettings(Settings):
    """Sampled answers and their judgement, for CLEAR's confidence of the given response."""

    samples: Samples = Field(default=Samples(), description="How answers are sampled.")
    entailment: str | None = Field(
        default=None,
        description="An NLI model (directory or hub id). Without one the language model is asked "
        "instead, which is only an approximation of published CLEAR.",
    )


class MeasureSettings(Settings):
    """What is asked of models. Token counts are always taken; the rest only if named here."""

    tokens: TokenCounts = Field(default=TokenCounts(), description="How tokens are counted.")
    losses: Losses | None = Field(default=None, description="Losses of each response token.")
    embeddings: tuple[Embeddings, ...] = Field(
        default=(), description="Sentence embeddings, a block for each text that is compared."
    )
    trajectories: TrajectorySettings | None = Field(default=None, description="S2L's losses.")
    confidence: ConfidenceSettings | None = Field(default=None, description="CLEAR's answers.")

    def names(self) -> set[str]:
        """The measures that scorers will find."""
        asked = {
            "losses": self.losses,
            "trajectories": self.trajectories,
            "judgements": self.confidence,
        }
        embedded = {embeddings_name(each.of) for each in self.embeddings}
        return {"token_counts", *embedded, *(name for name, block in asked.items() if block)}


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
        work["losses"] = Work(settings.losses, pool, len(pool))
    for each in settings.embeddings:
        work[embeddings_name(each.of)] = Work(each, pool, len(pool))
    if settings.confidence:
        samples = settings.confidence.samples
        ids = choose_part(workspace, samples.part, pool, seed)
        judge = Judgements(samples=samples, entailment=settings.confidence.entailment)
        work["samples"] = Work(samples, ids, len(pool))
        work["judgements"] = Work(judge, ids, len(pool))
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
