"""Plan: what a recipe will ask of models, and what that will cost, before it is spent.

Each measure is tried on a few rows from three places of what is missing, and its time carried over
to the rest by the tokens that it reads. What was tried is thrown away: a plan changes no number.
"""

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.measuring.measure import Measure, MeasureJob
from pipeline.measuring.shards import ShardPlan, cut_shards
from pipeline.progress import Report, tell_nobody
from scorers.arrays import Ints
from storage.database import read_workspace
from storage.measurements import MeasureKey
from storage.workspace import Workspace

PLACES = 3
"""Where rows are tried: near the beginning, in the middle, and near the end of what is missing."""

WRITING_ROWS = 4
"""Rows tried of a measure that has answers written, which takes long."""

LEAST_SECONDS = 3.0
MOST_ROWS = 1000
"""A measure that takes less for the rows tried is tried on four times as many, up to these."""

WARM_UP_ROWS = 2
"""Asked first and not timed: the model is loaded, memory is taken."""


@dataclass(frozen=True, slots=True)
class MeasurePlan:
    """What one measure will cost."""

    name: str
    model: str
    rows: int
    """Wanted."""
    missing: int
    """Of those, not stored yet."""
    tokens: int
    """Tokens that the model reads for them, each once for each reading."""
    tried: int
    seconds: float | None
    """Predicted for the missing rows; None if nothing is missing."""
    peak_bytes: int | None
    """Memory of the process, or of the GPU, at its highest so far; it does not grow with rows."""


def plan_all(
    workspace: Workspace,
    jobs: Mapping[str, MeasureJob],
    sizes: MeasureKey,
    rows: int,
    report: Report = tell_nobody,
) -> dict[str, MeasurePlan]:
    """Predict the cost of measures, one after the other.

    Args:
        workspace: with the token counts of the examples.
        jobs: what is wanted, by measure.
        sizes: key of the token counts.
        rows: how many to try of each, at most.
        report: told what is tried, and how many rows were.
    """
    plans = {}
    for number, (name, job) in enumerate(jobs.items(), start=1):
        what = f"plan: trying {name}, {number} of {len(jobs)}"
        report(what, 0, None)
        plans[name] = plan_measure(workspace, name, job, sizes, rows)
        report(what, plans[name].tried, plans[name].tried)  # as many as it came to: all done
    return plans


def plan_measure(
    workspace: Workspace, name: str, job: MeasureJob, sizes: MeasureKey, rows: int
) -> MeasurePlan:
    """Predict the cost of one measure; the arguments are those of plan_all."""
    cut = cut_shards(workspace, job.measure, job.ids, sizes)
    read = job.measure.tokens_read(cut.tokens, cut.response_tokens)
    tried: list[int] = []
    seconds = None
    if cut.rows:
        tried, seconds = try_out(workspace, cut, read, rows)
    return MeasurePlan(
        name=name,
        model=cut.key.model,
        rows=len(job.ids),
        missing=cut.rows,
        tokens=int(read.sum()),
        tried=len(tried),
        seconds=seconds,
        peak_bytes=peak_memory() if tried else None,
    )


def choose_tried(missing: int, rows: int) -> list[int]:
    """Places of rows to try: neighbours, as a shard has them, from PLACES parts of the whole."""
    if missing <= rows:
        return list(range(missing))
    each = max(1, rows // PLACES)
    # The middle of each of PLACES equal parts: (part + 1/2) / PLACES of the whole.
    middles = [missing * (2 * part + 1) // (2 * PLACES) for part in range(PLACES)]
    starts = [middle - each // 2 for middle in middles]  # a run is shorter than its part
    return sorted({start + at for start in starts for at in range(each)})  # runs may overlap


def try_out(workspace: Workspace, cut: ShardPlan, read: Ints, rows: int) -> tuple[list[int], float]:
    """The rows that were tried, and the seconds predicted for all that are missing.

    A measure that is done with them in a moment is tried on more: of a moment little can be said.
    """
    writes = cut.measure.writes
    tried = choose_tried(cut.rows, min(rows, WRITING_ROWS) if writes else rows)
    examples = inputs_of(workspace, cut, tried)
    predicted = cut.measure.predict_seconds(examples, cut.tokens)
    if predicted is not None:
        return tried, predicted
    seconds = time_rows(cut.measure, examples)
    while seconds < LEAST_SECONDS and rows < MOST_ROWS and len(tried) < cut.rows and not writes:
        rows *= 4  # cheap: what was tried before took less than LEAST_SECONDS
        tried = choose_tried(cut.rows, rows)
        seconds = time_rows(cut.measure, inputs_of(workspace, cut, tried))
    if writes:  # the time goes into the answers, which have no length yet: by rows, not tokens
        return tried, seconds * cut.rows / len(tried)
    return tried, seconds * float(read.sum()) / max(1.0, float(read[tried].sum()))


def time_rows(measure: Measure, examples: pa.Table) -> float:
    """Seconds of the measure over some of the missing rows."""
    time_of(lambda: measure.measure(examples.slice(0, WARM_UP_ROWS)))
    return time_of(lambda: measure.measure(examples))


def inputs_of(workspace: Workspace, cut: ShardPlan, tried: Sequence[int]) -> pa.Table:
    """What the measure reads of the rows that are tried."""
    ids = cut.ids.take(pa.array(tried)).to_pylist()
    with read_workspace(workspace) as con:
        return cut.measure.trial_inputs(con, sorted(ids))  # as a shard has them


def time_of(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peak_memory() -> int:
    """Most bytes that the GPU held so far, or else the process."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
