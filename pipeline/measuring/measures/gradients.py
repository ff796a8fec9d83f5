"""Gradients: where each row would move the target's adapters, and where targets want them (LESS).

Adapters are warmed up on a share of the pool, once (warm_up.py). After that each row is asked about
by itself, at every checkpoint of the warm-up: a pool that grew has only its new rows asked about,
as long as its warm-up stays the same.
"""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import (
    SAMPLING_SHARD_TOKENS,
    ExampleInputs,
    Jobs,
    MeasureJob,
    MeasureScope,
)
from pipeline.measuring.rows import (
    Unmeasured,
    answer_rows,
    answer_table,
    readable_rows,
    render_rows,
    template_of,
)
from pipeline.measuring.warm_up import VERSION, GradientSettings, WarmUp, find_warmup
from pipeline.settings import Settings
from scorers.arrays import Ints
from scorers.measures.models.devices import borrowed_device, resolve_autocast
from scorers.measures.reading.chat_format import RenderedExample
from storage.measurements import MeasureKey

if TYPE_CHECKING:
    from scorers.measures.training.gradients import Gradients, Projection

FIELDS = [
    pa.field("gradient", pa.list_(pa.list_(pa.float16()))),  # (checkpoints, dimension)
    pa.field("rates", pa.list_(pa.float64())),  # (checkpoints,) learning rate at each
]

_training = Lock()
"""One shard trains; the others wait for it."""


class PoolGradients(Settings, ExampleInputs):
    """The measure for rows of the pool: where Adam would move the adapters for each."""

    shard_tokens: ClassVar[int] = SAMPLING_SHARD_TOKENS

    settings: GradientSettings
    directory: Path = Field(description="Of the warm-up; its name is the warm-up's key.")
    of: ClassVar[str] = "pool"

    def key(self) -> MeasureKey:
        """The warm-up, and how gradients are made short."""
        settings = self.settings
        return MeasureKey(
            measure="gradients",
            model=settings.model,
            model_fingerprint=settings.resolved().fingerprint,
            template_fingerprint=template_of(settings.model, settings.template),
            settings={
                "version": VERSION,
                "of": self.of,
                "warmup": self.directory.name,
                "dimension": settings.dimension,
                "adam": self.projection().adam,
                "dtype": resolve_autocast(),
            },
        )

    def anywhere(self) -> bool:
        """The checkpoints are in the workspace."""
        return False

    def projection(self) -> "Projection":
        """What is taken of each row."""
        from scorers.measures.training.gradients import Projection  # imports torch

        return Projection(self.settings.dimension, self.settings.seed, self.settings.adam)

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        """(n,) once at each checkpoint; the warm-up is in the seconds alone."""
        return tokens * self.settings.epochs

    def warmed_up(self) -> bool:
        """Whether the adapters are trained already, or will be by then."""
        return WarmUp(self.directory).trained()

    def predict_seconds(self, examples: pa.Table, tokens: Ints) -> float | None:
        """By taking the gradients of these, and the warm-up where it is not trained yet."""
        from scorers.measures.training.gradient_cost import time_gradients  # imports torch

        settings = self.settings
        rows = readable_rows(settings.model, settings.template, examples, settings.max_tokens)
        if not rows:
            return 0.0
        model, adapters = settings.resolved().path, settings.adapters()
        cost = time_gradients(model, rows, adapters, self.projection())
        learnt = len(WarmUp(self.directory).ids()) * float(tokens.mean())
        training = 0.0 if self.warmed_up() else cost.train * learnt
        return settings.epochs * (cost.record * float(tokens.sum()) + training)

    def measure(self, examples: pa.Table) -> pa.Table:
        """Have the adapters warmed up, and take each example's direction at every checkpoint."""
        from scorers.measures.training.gradients import record_gradients  # imports torch

        settings = self.settings
        with _training, borrowed_device():
            WarmUp(self.directory).train(settings)
        rendered = render_rows(settings.model, settings.template, examples)
        asked = [row for row in rendered if isinstance(row, RenderedExample)]
        with borrowed_device():
            model, adapters = settings.resolved().path, settings.adapters()
            found = record_gradients(model, asked, adapters, self.directory, self.projection())
        answers = answer_rows(rendered, lambda _: states_of(found))
        return with_vectors(answer_table(examples, answers, []), found)


class TargetGradients(PoolGradients):
    """The measure for targets: their plain gradients."""

    of: ClassVar[str] = "targets"

    def projection(self) -> "Projection":
        """The plain gradient, by the same signs."""
        from scorers.measures.training.gradients import Projection  # imports torch

        return Projection(self.settings.dimension, self.settings.seed, None)

    def warmed_up(self) -> bool:
        """The pool's gradients come first, by the same adapters."""
        return True


def states_of(found: "Gradients") -> list[Unmeasured]:
    """One answer for each row that the engine was asked about, without its numbers."""
    return [
        {"state": state, "detail": detail}
        for state, detail in zip(found.states, found.details, strict=True)
    ]


def with_vectors(table: pa.Table, found: "Gradients") -> pa.Table:
    """The table with the vectors and rates of the rows that are "ok"; null in the others."""
    ok = np.array([state == "ok" for state in table["state"].to_pylist()], dtype=bool)  # (n,)
    kept = np.array([state == "ok" for state in found.states], dtype=bool)  # (asked,)
    vectors = found.vectors[kept].astype(np.float16)  # (sum of ok, checkpoints, dimension)
    _, checkpoints, dimension = vectors.shape
    # Built from flat buffers, 2 bytes a number: in Python lists each would take 32.
    inner = pa.ListArray.from_arrays(
        list_offsets(np.full(len(vectors) * checkpoints, dimension)), pa.array(vectors.reshape(-1))
    )
    rates = pa.array(np.tile(np.array(found.rates, dtype=np.float64), len(vectors)))
    # A null row has an empty list, for the values hold those of the other rows only.
    offsets, missing = list_offsets(np.where(ok, checkpoints, 0)), pa.array(~ok)
    for field, values in zip(FIELDS, (inner, rates), strict=True):
        column = pa.ListArray.from_arrays(offsets, values, mask=missing)
        table = table.append_column(field, column)
    return table


def list_offsets(lengths: "np.ndarray[Any, np.dtype[np.int64]]") -> pa.Array:
    """(n + 1,): where each of n lists begins, and where the last one ends."""
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def plan_gradients(block: GradientSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of all examples, and of the targets: both of one warm-up, or they could not be compared."""
    warmup, note = find_warmup(scope.workspace, block, scope.pool)
    of_pool = PoolGradients(settings=block, directory=warmup.directory)
    jobs = {"gradients": MeasureJob(of_pool, scope.pool, len(scope.pool), note)}
    if scope.targets:
        of_targets = TargetGradients(settings=block, directory=warmup.directory)
        ids = sorted(scope.targets)
        jobs["target_gradients"] = MeasureJob(of_targets, ids, len(ids))
    return jobs
