"""The warm-up that gradients are taken at: its settings, its rows, and where it is kept.

What a warm-up was trained on, and what is needed to train it again, lies beside its checkpoints:

    rows.parquet    the examples, all of them or none
    warmup.json     all that decides the training but its rows

A pool that grew has no new warm-up as long as most of the rows that would be drawn for one now are
those that a stored one learnt.

Xia et al. 2024, "LESS", arXiv:2402.04333.
"""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pyarrow.parquet as pq
from pydantic import AfterValidator, Field

from pipeline.measuring.rows import render_rows, template_of
from pipeline.settings import TARGET, Settings, Share
from scorers.measures.models.devices import resolve_autocast
from scorers.measures.models.loading import ResolvedModel, resolve_model
from scorers.measures.reading.chat_format import RenderedExample, Template
from scorers.measures.training.proxy_schedule import ProxySettings
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.examples import read_example_table, read_response_lengths
from storage.workspace import Workspace

if TYPE_CHECKING:
    from scorers.measures.training.adapter_training import AdapterSettings

VERSION = 1

AFTER_THE_WARM_UP = {"model", "dimension", "adam", "retrain_above"}
"""Settings that stand elsewhere in a key, or have no say in the warm-up."""


def not_empty(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that is empty."""
    if not names:
        raise ValueError("name at least one layer to put adapters on")
    return names


class GradientSettings(Settings):
    """Gradients of LoRA adapters that are warmed up on a share of the pool: LESS needs them."""

    model: str = Field(default=TARGET, description="The model whose adapters are trained.")
    layers: int | None = Field(
        default=None, gt=0, description="Take a copy of the model with its first layers only."
    )
    template: Template = Field(default="chat", description="How conversations are rendered.")
    warmup_share: Share = Field(
        default=0.05, description="Share of the pool that adapters are warmed up on, by a hash."
    )
    epochs: int = Field(default=4, gt=0, description="Passes over that share; a checkpoint each.")
    learning_rate: float = Field(
        default=2e-5, gt=0, description="Peak, of AdamW with linear decay."
    )
    batch_rows: int = Field(default=32, gt=0, description="Examples in an optimiser step.")
    rank: int = Field(default=128, gt=0, description="Rank of each adapter.")
    alpha: int = Field(default=512, gt=0, description="Adapters are scaled by alpha / rank.")
    modules: Annotated[tuple[str, ...], AfterValidator(not_empty)] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj"),
        description="Names of the layers that get an adapter.",
    )
    max_tokens: int = Field(
        default=1024, gt=0, description="Longer examples are left out and marked truncated."
    )
    dimension: int = Field(
        default=8192,
        gt=0,
        description="Numbers kept of each gradient and checkpoint, 2 bytes each.",
    )
    adam: Literal["code", "textbook"] = Field(
        default="code",
        description="How Adam's step is written: as in the released LESS, with eps inside the root "
        "and no bias correction, or as the optimizer has it.",
    )
    seed: int = Field(
        default=0, ge=0, description="Of the warm-up's rows, adapters, order, and the projection."
    )
    retrain_above: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the rows drawn for a warm-up that a stored one may not have learnt; "
        "above it adapters are warmed up anew, and every row is asked about again.",
    )

    def adapters(self) -> "AdapterSettings":
        """The same for the engine."""
        from scorers.measures.training.adapter_training import AdapterSettings  # imports torch

        return AdapterSettings(
            rank=self.rank,
            alpha=self.alpha,
            modules=self.modules,
            training=ProxySettings(
                epochs=self.epochs,
                batch_rows=self.batch_rows,
                learning_rate=self.learning_rate,
                max_tokens=self.max_tokens,
                seed=self.seed,
            ),
        )

    def resolved(self) -> ResolvedModel:
        """The model."""
        return resolve_model(self.model, self.layers)

    def identity(self) -> list[object]:
        """All that decides a warm-up but its rows."""
        return [
            VERSION,
            self.resolved().fingerprint,
            template_of(self.model, self.template),
            resolve_autocast(),
            self.model_dump(mode="json", exclude=AFTER_THE_WARM_UP),
        ]


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A warm-up of adapters in a workspace, whether it is trained already or not."""

    directory: Path
    """Its name is the key."""

    @property
    def rows(self) -> Path:
        """The examples it is trained on."""
        return self.directory / "rows.parquet"

    def ids(self) -> list[str]:
        """Which examples those are."""
        found: list[str] = pq.read_table(self.rows, columns=["example_id"])[0].to_pylist()
        return found

    def trained(self) -> bool:
        """Whether the adapters are trained to the end."""
        from scorers.measures.training.adapter_training import epoch_rates  # imports torch

        return bool(epoch_rates(self.directory))

    def train(self, settings: GradientSettings) -> None:
        """Train the adapters, or go on where a killed training ended.

        Raises:
            ValueError: if none of the rows can be trained on.
        """
        from scorers.measures.training.adapter_training import train_adapters  # imports torch
        from scorers.measures.training.recorded_losses import find_unread_rows

        model, adapters = settings.resolved().path, settings.adapters()
        rendered = render_rows(settings.model, settings.template, pq.read_table(self.rows))
        rows = [row for row in rendered if isinstance(row, RenderedExample)]
        problems = find_unread_rows(model, rows, adapters.training)
        able = [row for row, problem in zip(rows, problems, strict=True) if problem is None]
        train_adapters(model, able, adapters, self.directory)


def find_warmup(
    workspace: Workspace, settings: GradientSettings, pool: Sequence[str]
) -> tuple[WarmUp, str]:
    """The warm-up for the pool with these ids, and what the run says of it.

    A stored one that learnt enough of the rows that would be drawn now, the most of them, among
    equals the one of these very rows, then the first by key; or else a new one, whose rows are put
    aside here.
    """
    part = draw_part(workspace, settings, pool)
    root = workspace.models / "warmups"
    own = WarmUp(root / content_hash([*settings.identity(), part])[:16])
    unseen = {warmup: len(set(part) - set(warmup.ids())) for warmup in find_warmups(root, settings)}
    near = [each for each, count in unseen.items() if count <= settings.retrain_above * len(part)]
    if near:
        best = min(near, key=lambda each: (unseen[each], each != own, each.directory.name))
    else:
        best = own
        put_aside(workspace, settings, own, part)
    other = unseen.get(best, 0)
    note = f"; adapters warmed up on {len(part)} rows"
    if other:
        note = f"; by stored adapters, to which {other} of the {len(part)} rows drawn now are new"
    return best, note


def draw_part(workspace: Workspace, settings: GradientSettings, pool: Sequence[str]) -> list[str]:
    """The rows that adapters are warmed up on: a share of those with a response, by a hash."""
    with read_workspace(workspace) as con:
        able = sorted(read_response_lengths(con, pool))
    # Rounded first: 0.07 * 100 is 7.000000000000001, of which the ceiling would be 8.
    count = math.ceil(round(settings.warmup_share * len(able), 6))
    return sorted(sorted(able, key=lambda i: content_hash([settings.seed, i]))[:count])


def find_warmups(root: Path, settings: GradientSettings) -> list[WarmUp]:
    """Warm-ups of the workspace that differ by their rows alone, trained or begun."""
    identity = json.loads(json.dumps(settings.identity()))  # as it was stored: tuples are lists
    marks = sorted(root.glob("*/warmup.json"))
    alike = [mark for mark in marks if json.loads(mark.read_text()) == identity]
    return [WarmUp(mark.parent) for mark in alike if not mark.parent.name.endswith(".partial")]


def put_aside(
    workspace: Workspace, settings: GradientSettings, warmup: WarmUp, part: Sequence[str]
) -> None:
    """Keep what a warm-up is trained on, all of it or nothing."""
    partial = WarmUp(warmup.directory.with_name(f"{warmup.directory.name}.partial"))
    shutil.rmtree(partial.directory, ignore_errors=True)  # of a run that was killed here
    partial.directory.mkdir(parents=True)
    with read_workspace(workspace) as con:
        pq.write_table(read_example_table(con, part), partial.rows)
    (partial.directory / "warmup.json").write_text(json.dumps(settings.identity()))
    partial.directory.rename(warmup.directory)  # last: a folder of this name has all it needs
