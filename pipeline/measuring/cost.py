"""Plan: what a recipe will ask of models, and what that will cost, before it is spent.

Each measure is tried on a few rows from three places of what is missing, and its time carried over
to the rest by the tokens that it reads. What was tried is thrown away: a plan changes no number.
"""

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.measuring.measures.cappy import PoolCappy
from pipeline.measuring.measures.gradients import PoolGradients, TargetGradients
from pipeline.measuring.measures.judgements import Judgements
from pipeline.measuring.measures.losses import Losses
from pipeline.measuring.measures.samples import Samples
from pipeline.measuring.measures.tags import TagReplies
from pipeline.measuring.measures.trajectories import NewRowTrajectories, PoolTrajectories
from pipeline.measuring.rows import render_rows
from pipeline.measuring.shard_work import Measure
from pipeline.measuring.shards import ShardPlan, cut_shards
from pipeline.measuring.stage import MeasureJob
from pipeline.measuring.warm_up import WarmUp
from pipeline.progress import Report, tell_nobody
from scorers.measures.models.loading import resolve_model
from scorers.measures.reading.chat_format import RenderedExample, Template
from storage.database import read_workspace
from storage.examples import read_example_table
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
    """Rows that were tried."""
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
        report(what, plans[name].tried, plans[name].tried)
    return plans


def plan_measure(
    workspace: Workspace, name: str, job: MeasureJob, sizes: MeasureKey, rows: int
) -> MeasurePlan:
    """Predict the cost of one measure.

    Args:
        workspace: with the token counts of the examples.
        name: of the measure in the run.
        job: what is wanted of which examples.
        sizes: key of the token counts.
        rows: how many to try, at most.
    """
    cut = cut_shards(workspace, job.measure, job.ids, sizes)
    read = tokens_read(job.measure, cut)
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


def tokens_read(measure: Measure, cut: ShardPlan) -> NDArray[np.int64]:
    """(n,) tokens that the measure has the model read of each missing row."""
    if isinstance(measure, Losses):  # with its prompt and without it
        return cut.tokens + cut.response_tokens
    if isinstance(measure, PoolTrajectories):
        settings = measure.settings
        return cut.tokens * (settings.epochs + settings.checkpoints)
    if isinstance(measure, PoolGradients):  # the warm-up is in the seconds alone
        return cut.tokens * measure.settings.epochs
    if isinstance(measure, NewRowTrajectories):
        return cut.tokens * measure.settings.checkpoints
    if isinstance(measure, PoolCappy):  # each row in two pairs
        folds = measure.settings
        return cut.tokens * (2 * folds.epochs * (folds.folds - 1) + 1)
    return cut.tokens


def choose_rows(missing: int, rows: int) -> list[int]:
    """Places of rows to try: neighbours, as a shard has them, from PLACES parts of the whole."""
    if missing <= rows:
        return list(range(missing))
    each = max(1, rows // PLACES)
    middles = [missing * (2 * part + 1) // (2 * PLACES) for part in range(PLACES)]
    starts = [min(max(0, middle - each // 2), missing - each) for middle in middles]
    return sorted({start + at for start in starts for at in range(each)})


def try_out(
    workspace: Workspace, cut: ShardPlan, read: NDArray[np.int64], rows: int
) -> tuple[list[int], float]:
    """The rows that were tried, and the seconds predicted for all that are missing.

    A measure that is done with them in a moment is tried on more: of a moment little can be said.
    """
    measure = cut.measure
    writes = isinstance(measure, Samples | Judgements | TagReplies)
    tried = choose_rows(cut.rows, min(rows, WRITING_ROWS) if writes else rows)
    if isinstance(measure, PoolTrajectories):
        ids = cut.ids.take(pa.array(tried)).to_pylist()
        return tried, predict_training(workspace, measure, ids, int(cut.tokens.sum()))
    if isinstance(measure, PoolCappy):
        ids = cut.ids.take(pa.array(tried)).to_pylist()
        return tried, measure.predict_seconds(inputs_of(workspace, measure, ids), cut.rows)
    if isinstance(measure, PoolGradients):
        ids = cut.ids.take(pa.array(tried)).to_pylist()
        return tried, predict_gradients(workspace, measure, ids, cut.tokens)
    seconds = time_rows(workspace, cut, tried)
    while seconds < LEAST_SECONDS and rows < MOST_ROWS and len(tried) < cut.rows and not writes:
        rows *= 4
        tried = choose_rows(cut.rows, rows)
        seconds = time_rows(workspace, cut, tried)
    if writes:
        return tried, seconds * cut.rows / len(tried)
    return tried, seconds * float(read.sum()) / max(1.0, float(read[tried].sum()))


def time_rows(workspace: Workspace, cut: ShardPlan, tried: Sequence[int]) -> float:
    """Seconds of the measure over some of the missing rows."""
    table = inputs_of(workspace, cut.measure, cut.ids.take(pa.array(tried)).to_pylist())
    time_of(lambda: cut.measure.measure(table.slice(0, WARM_UP_ROWS)))
    return time_of(lambda: cut.measure.measure(table))


def inputs_of(workspace: Workspace, measure: Measure, ids: Sequence[str]) -> pa.Table:
    """What the measure reads of the rows; judgements get answers that are written for the plan."""
    with read_workspace(workspace) as con:
        if not isinstance(measure, Judgements):
            return measure.inputs(con, sorted(ids))
        examples = read_example_table(con, sorted(ids))
    answers = measure.samples.measure(examples)["answers"]
    return examples.append_column("answers", answers)


def predict_training(
    workspace: Workspace, measure: PoolTrajectories, ids: Sequence[str], tokens: int
) -> float:
    """Time a proxy's training and reading on the rows tried."""
    from scorers.measures.training.proxy_cost import time_proxy  # imports torch

    settings = measure.settings
    rows = rows_to_time(workspace, ids, (settings.proxy, settings.template), settings.max_tokens)
    if not rows:
        return 0.0
    proxy = resolve_model(settings.proxy, settings.layers).path
    return time_proxy(proxy, rows, settings.proxy_settings()).seconds(
        tokens, settings.proxy_settings()
    )


def predict_gradients(
    workspace: Workspace, measure: PoolGradients, ids: Sequence[str], tokens: NDArray[np.int64]
) -> float:
    """Time gradients on the rows tried, and the warm-up where it is not trained yet."""
    from scorers.measures.training.gradient_cost import time_gradients  # imports torch

    settings, warmup = measure.settings, WarmUp(measure.directory)
    rows = rows_to_time(workspace, ids, (settings.model, settings.template), settings.max_tokens)
    if not rows:
        return 0.0
    adapters, model = settings.adapters(), settings.resolved().path
    cost = time_gradients(model, rows, adapters, measure.projection())
    known = warmup.trained() or isinstance(measure, TargetGradients)
    learnt = 0.0 if known else float(tokens.mean()) * len(warmup.ids())
    return settings.epochs * (cost.record * float(tokens.sum()) + cost.train * learnt)


def rows_to_time(
    workspace: Workspace, ids: Sequence[str], reader: tuple[str, Template], longest: int
) -> list[RenderedExample]:
    """Those of the examples that a training reads, in the model's template."""
    with read_workspace(workspace) as con:
        examples = read_example_table(con, sorted(ids))
    return [
        row
        for row in render_rows(*reader, examples)
        if isinstance(row, RenderedExample)
        and row.response
        and len(row.prompt) + len(row.response) <= longest
    ]


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
