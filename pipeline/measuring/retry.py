"""Retry: what failed of a run's measures is asked again, and nothing else.

A row's failure stays until its new answer is stored in its place. What depends on the whole pool
is not asked: the next run makes it anew where it was made of rows that were asked again.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.measuring.catalogue import MEASURES, MeasureSettings, run_names
from pipeline.measuring.endpoint import ServedModel
from pipeline.measuring.measure import Measure, MeasureJob, Repairs
from pipeline.measuring.stage import plan_measures
from scorers.measures.endpoint.generator import served_window
from storage.database import open_workspace, read_workspace
from storage.examples import read_all_ids
from storage.failed_rows import forget_made_of, read_failed_rows
from storage.measurement_details import Detail, read_details
from storage.measurements import MeasureKey
from storage.workspace import Workspace

TRAINED = "gradients"
"""A measure of one row, by adapters that were trained on the pool."""

CONTEXT_LENGTH = "context_length"

NOT_GONE = "no: the model here says the same of the same row"
PERHAPS_GONE = "perhaps: the server may answer now"

WHOLE_POOL = [name for name, entry in MEASURES.items() if entry.whole_pool]


@dataclass(frozen=True, slots=True)
class FailedRows:
    """What is to be asked again of one measure."""

    job: MeasureJob
    reasons: Sequence[Detail]
    window: int | None
    """Tokens that the server reads by now, where a row was too long for it and it says so."""

    def outlook(self, reason: Detail) -> str:
        """What is known of whether a reason is gone, in a word and why."""
        if self.job.measure.anywhere():
            return NOT_GONE
        if self.window and CONTEXT_LENGTH in reason.detail:
            return f"perhaps: the server reads {self.window} tokens now"
        return PERHAPS_GONE


@dataclass(frozen=True, slots=True)
class FailedMeasures:
    """What is to be asked again, and the sizes that it is cut by."""

    rows: Mapping[str, FailedRows]
    """By the measure's name in a run; none without a row."""
    sizes: MeasureKey
    keys: Mapping[str, MeasureKey]
    """Of all measures that were looked at."""


def find_failed_rows(
    workspace: Workspace,
    settings: MeasureSettings,
    wanted: Collection[str],
    seed: int,
    repairs: Repairs | None,
    reason: str = "",
) -> FailedMeasures:
    """Find the examples that failed, of those measures that can be had of a row alone.

    Args:
        workspace: all of whose examples are looked at.
        settings: the recipe's.
        wanted: measures by their names in a run, of which some are left out.
        seed: the recipe's.
        repairs: of the run.
        reason: what the detail of a failure has in it. Rows whose measure is made of one that is
            asked again are asked as well.

    Raises:
        MissingModelError: if a server cannot be asked, or does not serve the model.
    """
    alone = settings.only(set(wanted) & set(names_alone(settings)))
    with read_workspace(workspace) as con:
        ids = read_all_ids(con)
    jobs = plan_measures(workspace, alone, ids, seed, repairs=repairs)
    keys = {name: job.measure.key() for name, job in jobs.items() if not job.measure.whole_pool}
    found: dict[str, FailedRows] = {}
    again: dict[str, set[str]] = {}  # key → examples that are asked again under it
    with read_workspace(workspace) as con:
        for name, key in keys.items():
            if name == "token_counts" and name not in wanted:  # counted in any case
                continue
            below = set[str]().union(*(again.get(str(v), ()) for v in key.settings.values()))
            failed = [
                row.example_id
                for row in read_failed_rows(con, key)
                if reason in row.detail or row.example_id in below
            ]
            if failed:
                again[key.measure_key] = set(failed)
                job = replace(jobs[name], ids=failed, pool=len(failed), again=True)
                told = read_details(con, key, failed)
                too_long = any(CONTEXT_LENGTH in each.detail for each in told)
                window = window_of(job.measure) if too_long else None
                found[name] = FailedRows(job, told, window)
    return FailedMeasures(found, jobs["token_counts"].measure.key(), keys)


def names_alone(settings: MeasureSettings) -> Iterator[str]:
    """What measures are called in a run whose blocks have one that can be had of a row alone."""
    blocks = {e.block for n, e in MEASURES.items() if not e.whole_pool and n != TRAINED}
    for name, entry in MEASURES.items():
        if entry.block in blocks:
            yield from run_names(name, settings)


def window_of(measure: Measure) -> int | None:
    """Tokens that the servers of a measure say they read, the fewest of them."""
    served = getattr(measure, "served", None)
    models = served if isinstance(served, tuple) else (served,)
    asked = [each.settings() for each in models if isinstance(each, ServedModel)]
    return min(filter(None, map(served_window, asked)), default=None)


def forget_made_of_failed(workspace: Workspace, keys: Collection[MeasureKey]) -> int:
    """Forget what was made of a whole pool's answers, some of which are others now.

    Returns:
        How many files of measurements that was.
    """
    with open_workspace(workspace) as con:
        return sum(forget_made_of(con, workspace, key, WHOLE_POOL) for key in keys)
