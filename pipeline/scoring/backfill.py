"""Backfill: give examples that are here already a score they do not have yet.

The examples of a window of time are cut into partitions by the day, week or month they arrived in.
Of each, what is missing is measured and scored. Nothing is kept of a backfill but that: whatever
stops it, the same backfill goes on with what is still missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import ClassVar

from pipeline.measuring.catalogue import MEASURES, MeasureSettings
from pipeline.measuring.cost import MeasurePlan, plan_all
from pipeline.measuring.measure import MeasureJob
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from pipeline.progress import Report, tell_nobody
from pipeline.scoring.stage import ScoreSettings, find_scorer, measure_names, score_key
from storage.arrivals import Period, Window, read_arrivals
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.measurements import read_missing
from storage.scores import read_unscored
from storage.workspace import Workspace


class BackfillError(ValueError):
    """What was asked for cannot be backfilled."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Partition:
    """Examples that arrived in one day, week or month."""

    first_day: date
    last_day: date
    ids: Sequence[str]
    """Sorted."""

    def __str__(self) -> str:
        """Its days."""
        return str(self.first_day) + (
            "" if self.first_day == self.last_day else f" to {self.last_day}"
        )


@dataclass(frozen=True, slots=True)
class Backfill:
    """What is to be done."""

    workspace: Workspace
    scores: Sequence[ScoreSettings]
    jobs: Mapping[str, MeasureJob]
    """The measures that the scores read, token counts first, of all examples of the window."""
    partitions: Sequence[Partition]

    def of(self, partition: Partition) -> dict[str, MeasureJob]:
        """The measures of one partition, each of all its examples."""
        ids = partition.ids
        return {n: replace(job, ids=ids, pool=len(ids)) for n, job in self.jobs.items()}


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """What one partition will cost."""

    partition: Partition
    missing: Mapping[str, int]
    """Examples to ask about, by measure."""
    key: str
    """Hash of what is missing: the same work has the same key."""
    unscored: Mapping[str, int]
    """Examples without a score for which nothing is to be asked, by score: those of texts, and
    those whose measurements are all stored."""
    seconds: float | None = None
    """Predicted for asking; None where that was not measured."""


def prepare_backfill(
    workspace: Workspace,
    measures: MeasureSettings,
    scores: Sequence[ScoreSettings],
    window: Window,
    seed: int,
) -> Backfill:
    """Find the examples and the measures.

    Of the recipe's measures those are left out that no score reads.

    Raises:
        BackfillError: if a score needs a whole pool at once, a measure is wanted of a part of it,
            or the window has no example.
    """
    for score in scores:
        scorer = find_scorer(score.scorer)
        entry = MEASURES.get(scorer.measure)
        if scorer.whole_pool or scorer.targets or (entry and entry.whole_pool):
            raise BackfillError(
                f"{score.label} compares the rows of a whole pool, or with targets, so it cannot "
                "be filled in by partitions: run the recipe instead"
            )
        if entry and entry.of_repairs:
            raise BackfillError(
                f"{score.label} compares rows with repairs, which a backfill does not generate: "
                "run the recipe instead"
            )
    with read_workspace(workspace) as con:
        arrivals = read_arrivals(con, window)
    if not arrivals:
        raise BackfillError(
            "no example arrived in this window; `sluice sql 'select path, ingested_at from "
            "sources'` lists what did"
        )
    partitions = [
        # A period may begin before the window: a week's Monday, a month's first.
        Partition(max(first, window.since or first), last_day(first, window), ids)
        for first, ids in arrivals.items()
    ]
    pool = sorted(example_id for ids in arrivals.values() for example_id in ids)
    needed = measures.only({name for score in scores for name in measure_names(score)})
    jobs = plan_measures(workspace, needed, pool, seed)
    for name, job in jobs.items():
        if len(job.ids) < job.pool:  # drawn of the window it would be others than of the pool
            raise BackfillError(
                f"the recipe wants {name} of a part of its pool; a backfill takes all of the "
                "window: leave `part` out of a copy of the recipe, or narrow the window"
            )
    return Backfill(workspace, scores, jobs, partitions)


def last_day(first: date, window: Window) -> date:
    """The last day of the partition that starts there, or of the window if that ends before."""
    following: Mapping[Period, date] = {  # the first day that is no longer in it
        "day": first + timedelta(days=1),
        "week": first + timedelta(days=7),
        "month": (first.replace(day=28) + timedelta(days=4)).replace(day=1),  # 28 is in every month
    }
    last = following[window.period] - timedelta(days=1)
    return min(last, window.until or last)


def count_tokens(backfill: Backfill, report: Report = tell_nobody) -> None:
    """Take the token counts that are missing: without them nothing can be cut or predicted."""
    counts = backfill.jobs["token_counts"]
    measure_here(backfill.workspace, counts.measure, counts.ids, report=report)


def plan_partitions(backfill: Backfill) -> list[PartitionPlan]:
    """What each partition lacks."""
    return [plan_partition(backfill, partition) for partition in backfill.partitions]


def plan_partition(backfill: Backfill, partition: Partition) -> PartitionPlan:
    """What one partition lacks."""
    missing: dict[str, list[str]] = {}
    keys = {name: job.measure.key() for name, job in backfill.jobs.items()}
    with read_workspace(backfill.workspace) as con:
        for name, job in backfill.of(partition).items():
            lacking = read_missing(con, keys[name], job.ids)
            missing[name] = sorted(lacking["example_id"].to_pylist())  # one order for the key
        found = {
            score.label: read_unscored(con, score_key(score, keys), partition.ids)
            for score in backfill.scores
            if not any(missing.get(name) for name in measure_names(score))
        }
    unscored = {label: ids for label, ids in found.items() if ids}
    work = [[keys[name].measure_key, ids] for name, ids in missing.items()]
    return PartitionPlan(
        partition=partition,
        missing={name: len(ids) for name, ids in missing.items()},
        key=content_hash([*work, *map(list, unscored.items())])[:16],
        unscored={label: len(ids) for label, ids in unscored.items()},
    )


def predict(
    backfill: Backfill, plans: Sequence[PartitionPlan], rows: int, report: Report = tell_nobody
) -> list[PartitionPlan]:
    """Say how long each partition will take, by trying a few rows of each measure, or fewer.

    The token counts are taken by then; `plans` are of all partitions.
    """
    sizes = backfill.jobs["token_counts"].measure.key()
    jobs = {name: job for name, job in backfill.jobs.items() if name != "token_counts"}
    tried = plan_all(backfill.workspace, jobs, sizes, rows, report)
    return [replace(plan, seconds=seconds_of(plan, tried)) for plan in plans]


def seconds_of(plan: PartitionPlan, tried: Mapping[str, MeasurePlan]) -> float:
    """A partition's share of the time that the whole backfill will take."""
    return sum(
        (whole.seconds or 0.0) * plan.missing[name] / max(1, whole.missing)  # in proportion to rows
        for name, whole in tried.items()
    )
