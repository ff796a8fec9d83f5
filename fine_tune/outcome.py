"""What a training reports back: which export, which adapter, how it went, what it cost.

It is read from the training's folder alone, wherever that was done, and holds counts, losses and
paths. Where the export lies in a workspace, the adapter goes into that workspace's `models/`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from fine_tune.cost import TrainCost, read_cost
from fine_tune.report import read_train_report
from fine_tune.settings import TrainSettings
from scorers.measures.models.loading import TEMPLATE, resolve_model
from scorers.measures.models.model_cache import TEMPLATE_FILE
from storage.conversations import content_hash
from storage.exports_manifest import read_manifest

EXPORTS_FOLDER, MODELS_FOLDER = "exports", "models"
PREFIX = "adapter-"
MOST_LOSSES = 2000
"""Losses of steps that are reported back; report.json beside the adapter keeps all of them."""


class TrainingOutcome(BaseModel):
    """A finished training, as an event carries it and `trials` keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    export_id: str
    trial_id: str
    workspace: str | None
    """Where the export lies in one, as seen from the machine that trained; else None."""
    adapter: str  # the training's folder, relative to the workspace; absolute where there is none
    report: Mapping[str, Any]
    cost: TrainCost | None  # None for a training of an older version


def trial_identity(export_id: str, model_fingerprint: str, settings: TrainSettings) -> str:
    """The id of a training: the same export, model and settings are the same trial."""
    return content_hash([export_id, model_fingerprint, settings.model_dump(mode="json")])[:16]


def workspace_of(export: Path) -> Path | None:
    """The workspace that an export lies in, or None where it was copied elsewhere."""
    folder = export.resolve().parent
    return folder.parent if folder.name == EXPORTS_FOLDER else None


def training_folder(export: Path, trial_id: str) -> Path:
    """Where a training on an export goes: the workspace's models, or else beside the export."""
    workspace = workspace_of(export)
    models = workspace / MODELS_FOLDER if workspace else export.resolve().parent
    return models / f"{PREFIX}{trial_id}"


def place_of_training(export: Path, model: str, settings: TrainSettings) -> Path:
    """Where a training goes, by all that makes it this one.

    Args:
        export: folder of its export.
        model: as a recipe names it.
        settings: what it mixes has its ids.

    Raises:
        MissingModelError: if there is no such model.
    """
    of = (read_manifest(export).export_id, resolve_model(model).fingerprint)
    return training_folder(export, trial_identity(*of, settings))


def read_outcome(folder: Path, workspace: Path | None) -> TrainingOutcome | None:
    """The outcome of the training in a folder, or None where it has not finished.

    Args:
        folder: the training's own.
        workspace: the one it belongs to, if any.
    """
    report = read_train_report(folder)
    if report is None:
        return None
    training = report.training
    adapter = folder
    if workspace is not None and folder.resolve().is_relative_to(workspace.resolve()):
        adapter = folder.resolve().relative_to(workspace.resolve())  # it may be moved as a whole
    return TrainingOutcome(
        export_id=training.export_id,
        trial_id=trial_identity(training.export_id, training.model_fingerprint, training.settings),
        workspace=str(workspace) if workspace else None,
        adapter=adapter.as_posix(),
        report=thin_losses(report.model_dump(mode="json")),
        cost=read_cost(folder),
    )


def finished_outcomes(workspace: Path) -> Iterator[TrainingOutcome]:
    """Outcomes of every finished training in a workspace's models."""
    for folder in sorted((workspace / MODELS_FOLDER).glob(f"{PREFIX}*")):
        outcome = read_outcome(folder, workspace)
        if outcome is not None:
            yield outcome


def thin_losses(report: dict[str, Any]) -> dict[str, Any]:
    """A report with at most MOST_LOSSES losses, evenly spread: what an event can carry."""
    losses = report["losses"]
    every = -(-len(losses) // MOST_LOSSES)  # rounded up, so that at most so many are left
    return report if every <= 1 else {**report, "losses": losses[::every], "losses_every": every}


def read_recipe(export: Path) -> Mapping[str, Any]:
    """The recipe that chose an export's rows, as it was stored."""
    recipe: dict[str, Any] = orjson.loads((export / "recipe.json").read_bytes())
    return recipe


def with_template_of(export: Path, model: str) -> str:
    """The model with the chat template that lies in an export, where one does."""
    file = export / TEMPLATE_FILE
    return f"{model.partition(TEMPLATE)[0]}{TEMPLATE}{file}" if file.is_file() else model


def recipe_settings(export: Path) -> TrainSettings:
    """How the recipe of an export wants the target trained.

    Raises:
        ValueError: if it does not say.
    """
    block = read_recipe(export).get("train")
    if block is None:
        raise ValueError(
            f"the recipe of {export} has no `train` block; give the parameter `train`, "
            "`{}` for the defaults"
        )
    return TrainSettings.model_validate(block)
