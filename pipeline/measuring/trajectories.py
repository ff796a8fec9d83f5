"""Trajectories: the loss of each example while a small proxy is fine-tuned on the pool (S2L).

The proxy learns from the pool, so the pool is part of the key, and the work is one piece: it is
cut by checkpoints, not by examples. A killed training goes on from its last checkpoint.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.rows import (
    Problem,
    answer_rendered,
    answer_table,
    render_rows,
    template_of,
)
from pipeline.settings import TARGET, Part, Settings
from pipeline.shards import ExampleInputs
from scorers.measures.chat_format import RenderedExample, Template
from scorers.measures.models import resolve_model
from scorers.measures.proxy_schedule import ProxySettings
from storage.conversations import content_hash
from storage.measurements import MeasureKey
from storage.workspace import Workspace

if TYPE_CHECKING:
    from scorers.measures.recorded_losses import Trajectories

FIELDS = [
    pa.field("steps", pa.list_(pa.int64())),
    pa.field("trajectory", pa.list_(pa.float64())),
]

VERSION = 1


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
    part: Part | None = Field(default=None, description="Train on part of the pool only.")

    def proxy_settings(self) -> ProxySettings:
        """The same for the engine."""
        return ProxySettings(
            epochs=self.epochs,
            checkpoints=self.checkpoints,
            learning_rate=self.learning_rate,
            batch_rows=self.batch_rows,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )


class PoolTrajectories(Settings, ExampleInputs):
    """The measure for one pool."""

    whole_pool: ClassVar[bool] = True

    settings: TrajectorySettings
    pool: str = Field(description="Hash of the pool's example ids.")
    directory: Path = Field(description="Where the proxy's checkpoints go.")

    def key(self) -> MeasureKey:
        """Proxy, template, how it was trained, and on what."""
        training = self.settings.model_dump(exclude={"proxy", "template", "part"})
        resolved = resolve_model(self.settings.proxy, self.settings.layers)
        return MeasureKey(
            measure="trajectories",
            model=self.settings.proxy,
            model_fingerprint=resolved.fingerprint,
            template_fingerprint=template_of(self.settings.proxy, self.settings.template),
            settings={"version": VERSION, "pool": self.pool, **training},
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Train the proxy and record every example's loss at each checkpoint."""
        from scorers.measures.trajectories import record_trajectories  # imports torch

        rendered = render_rows(self.settings.proxy, self.settings.template, examples)
        ids = examples["example_id"].to_pylist()
        known = {id(row): i for i, row in zip(ids, rendered, strict=True)}

        def ask(rows: list[RenderedExample]) -> list[Problem]:
            trajectories = record_trajectories(
                resolve_model(self.settings.proxy, self.settings.layers).path,
                rows,
                [known[id(row)] for row in rows],
                self.settings.proxy_settings(),
                self.directory / self.key().measure_key,
            )
            return answer_rows(trajectories)

        return answer_table(examples, answer_rendered(rendered, ask), FIELDS)


def answer_rows(trajectories: "Trajectories") -> list[dict[str, Any]]:
    """One answer for each row that the engine was asked about."""
    return [
        {"state": state, "detail": detail}
        if state != "ok"
        else {
            "state": "ok",
            "steps": trajectories.steps.tolist(),
            "trajectory": losses.tolist(),
        }
        for state, detail, losses in zip(
            trajectories.states, trajectories.details, trajectories.losses, strict=True
        )
    ]


def pool_trajectories(
    workspace: Workspace, settings: TrajectorySettings, ids: Sequence[str]
) -> PoolTrajectories:
    """The measure for the pool with these ids."""
    return PoolTrajectories(
        settings=settings, pool=content_hash(sorted(ids)), directory=workspace.models / "proxies"
    )
