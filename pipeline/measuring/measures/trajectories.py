"""Trajectories: the loss of each example while a small proxy is fine-tuned on the pool (S2L).

The proxy learns from a pool, so what it learnt from is part of the key, and the training is one
piece of work: it is cut by checkpoints, not by examples. A killed training goes on from its last
checkpoint.

A pool that grew need not be trained on again. Its new rows are read with the checkpoints of a
stored training, as long as that saw enough of the pool, and stored beside the old ones, marked as
not trained on.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import Jobs, MeasureJob, MeasureScope
from pipeline.measuring.pool_training import PoolTraining, find_trainings
from pipeline.measuring.rows import (
    Unmeasured,
    answer_rows,
    answer_table,
    readable_rows,
    render_rows,
    template_of,
)
from pipeline.progress import Report, tell_nobody
from pipeline.settings import TARGET, Settings, Subset
from scorers.arrays import Ints
from scorers.measures.models.devices import borrowed_device, resolve_autocast
from scorers.measures.models.loading import resolve_model
from scorers.measures.reading.chat_format import RenderedExample, Template
from scorers.measures.training.proxy_schedule import ProxySettings
from scorers.measures.training.trajectory_files import kept_models
from storage.conversations import content_hash
from storage.measurements import MeasureKey
from storage.workspace import Workspace

if TYPE_CHECKING:
    from scorers.measures.training.recorded_losses import Trajectories

FIELDS = [
    pa.field("steps", pa.list_(pa.int64())),  # (checkpoints,), of the optimiser, at each recording
    pa.field("trajectory", pa.list_(pa.float64())),  # (checkpoints,) nats per response token
    pa.field("trained", pa.bool_()),  # whether the proxy learnt from the row
]

VERSION = 1

NOT_THE_TRAINING = {"proxy", "template", "part", "keep_checkpoints", "retrain_above"}
"""Settings that stand elsewhere in the key, or change no number."""


class TrajectorySettings(Settings):
    """Loss trajectories of a small proxy fine-tuned on the pool: S2L needs them."""

    proxy: str = Field(default=TARGET, description="The small model that is trained.")
    layers: int | None = Field(
        default=None, gt=0, description="Train a copy of the proxy with its first layers only."
    )
    template: Template = Field(default="chat", description="How conversations are rendered.")
    epochs: int = Field(default=3, gt=0, description="Passes over the pool.")
    checkpoints: int = Field(default=12, gt=0, description="How often losses are recorded.")
    learning_rate: float = Field(
        default=2e-5, gt=0, description="Peak, of AdamW with cosine decay."
    )
    batch_rows: int = Field(default=32, gt=0, description="Examples in an optimiser step.")
    max_tokens: int = Field(
        default=512, gt=0, description="Longer examples are left out and marked truncated."
    )
    seed: int = Field(default=0, ge=0, description="Of the order of training.")
    part: Subset | None = Field(default=None, description="Train on part of the pool only.")
    keep_checkpoints: bool = Field(
        default=True,
        description="Keep the weights at each recording, so that new rows need no training. Takes "
        "parameters x 4 bytes x checkpoints of disk.",
    )
    retrain_above: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the pool's rows that a stored proxy may not have been trained on; "
        "above it a proxy is trained on the whole pool.",
    )

    def proxy_settings(self) -> ProxySettings:
        """The same for the engine."""
        return ProxySettings(
            epochs=self.epochs,
            checkpoints=self.checkpoints,
            learning_rate=self.learning_rate,
            batch_rows=self.batch_rows,
            max_tokens=self.max_tokens,
            seed=self.seed,
            keep_checkpoints=self.keep_checkpoints,
        )


class ProxyTraining(PoolTraining):
    """One training of a proxy: what the numbers of old and new rows are stored under."""

    settings: TrajectorySettings

    def key(self) -> MeasureKey:
        """Proxy, template, how it was trained, and on what; not what is kept or asked later."""
        training = self.settings.model_dump(exclude=NOT_THE_TRAINING)
        dtype = resolve_autocast(self.settings.proxy_settings().dtype)
        resolved = resolve_model(self.settings.proxy, self.settings.layers)
        return MeasureKey(
            measure="trajectories",
            model=self.settings.proxy,
            model_fingerprint=resolved.fingerprint,
            template_fingerprint=template_of(self.settings.proxy, self.settings.template),
            settings={"version": VERSION, "pool": self.pool, "dtype": dtype, **training},
        )

    def answer(
        self,
        examples: pa.Table,
        record: Callable[[list[RenderedExample], list[str]], "Trajectories"],
    ) -> pa.Table:
        """Have the trajectories of the examples recorded that can be rendered."""
        rendered = render_rows(self.settings.proxy, self.settings.template, examples)
        readable = [isinstance(row, RenderedExample) for row in rendered]
        ids = list(compress(examples["example_id"].to_pylist(), readable))  # aligned with `rows`

        def ask(rows: list[RenderedExample]) -> list[Unmeasured]:
            with borrowed_device():
                return answers_of(record(rows, ids))

        return answer_table(examples, answer_rows(rendered, ask), FIELDS)


class PoolTrajectories(ProxyTraining):
    """The measure for the pool that the proxy is trained on."""

    whole_pool: ClassVar[bool] = True

    report: Report = Field(default=tell_nobody, description="Is told of each recording.")

    def telling(self, report: Report) -> Self:
        """The same, telling of each recording: a training takes long, and has one shard."""
        return self.model_copy(update={"report": report})

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        """(n,) once for each epoch, and once for each recording."""
        return tokens * (self.settings.epochs + self.settings.checkpoints)

    def predict_seconds(self, examples: pa.Table, tokens: Ints) -> float | None:
        """By training a proxy on these and reading them with it."""
        from scorers.measures.training.proxy_cost import time_proxy  # imports torch

        settings, proxy = self.settings, self.settings.proxy_settings()
        rows = readable_rows(settings.proxy, settings.template, examples, settings.max_tokens)
        if not rows:
            return 0.0
        model = resolve_model(settings.proxy, settings.layers).path
        return time_proxy(model, rows, proxy).seconds(int(tokens.sum()), proxy)

    def measure(self, examples: pa.Table) -> pa.Table:
        """Train the proxy and record every example's loss at each checkpoint."""
        from scorers.measures.training.trajectories import record_trajectories  # imports torch

        model = resolve_model(self.settings.proxy, self.settings.layers).path
        proxy, directory = self.settings.proxy_settings(), self.directory / self.key().measure_key
        told = partial(self.report, f"measure: {self.key().measure}, training")
        return self.answer(
            examples,
            lambda rows, ids: record_trajectories(model, rows, ids, proxy, directory, told),
        )


class NewRowTrajectories(ProxyTraining):
    """The measure for a pool whose new rows are read with the checkpoints of a stored training."""

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        """(n,) once for each recording."""
        return tokens * self.settings.checkpoints

    def measure(self, examples: pa.Table) -> pa.Table:
        """Take every example's loss at each stored checkpoint."""
        from scorers.measures.training.new_row_trajectories import record_new_rows  # imports torch

        proxy, directory = self.settings.proxy_settings(), self.directory / self.key().measure_key
        return self.answer(examples, lambda rows, _: record_new_rows(directory, rows, proxy))


def answers_of(trajectories: "Trajectories") -> list[dict[str, Any]]:
    """One answer for each row that the engine was asked about."""
    return [
        {"state": state, "detail": detail}
        if state != "ok"
        else {
            "state": "ok",
            "steps": trajectories.steps.tolist(),
            "trajectory": losses.tolist(),
            "trained": trained,
        }
        for state, detail, losses, trained in zip(
            trajectories.states,
            trajectories.details,
            trajectories.losses,
            trajectories.trained.tolist(),
            strict=True,
        )
    ]


def pool_trajectories(
    workspace: Workspace, settings: TrajectorySettings, ids: Sequence[str]
) -> PoolTrajectories | NewRowTrajectories:
    """The measure for the pool with these ids: a training, or the checkpoints of a stored one."""
    directory = workspace.models / "proxies"
    pool = content_hash(sorted(ids))
    training = PoolTrajectories(settings=settings, pool=pool, directory=directory)
    near = find_trainings(workspace, training.key(), ids, settings.retrain_above)
    # With nothing missing no checkpoint is read, and none need be kept.
    able = [e for e in near if not e.missing or kept_models(directory / e.key.measure_key)]
    if not able:
        note = "; trained again, for the checkpoints of an earlier training are gone"
        return training.model_copy(update={"note": note}) if near else training
    return NewRowTrajectories(
        settings=settings,
        pool=able[0].key.settings["pool"],
        directory=directory,
        note=f"; read with stored checkpoints and not trained on: {able[0].unseen}",
    )


def plan_trajectories(block: TrajectorySettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of a subset, or of all."""
    ids = scope.subset(block.part)
    measure = pool_trajectories(scope.workspace, block, ids)
    return {"trajectories": MeasureJob(measure, ids, len(scope.pool), measure.note)}
