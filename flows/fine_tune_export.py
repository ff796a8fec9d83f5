"""The flow that trains on an export: the handoff to the machine that has the GPU.

It needs the export's folder and nothing else: no workspace, no database, no recipe file. A person
is asked before (flows/approve_training.py). It reports back with an event, which the flow of
flows/record_training.py writes into the workspace.
"""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from fine_tune.mixture import pin_exports
from fine_tune.outcome import (
    TrainingOutcome,
    place_of_training,
    read_outcome,
    read_recipe,
    recipe_settings,
    with_template_of,
    workspace_of,
)
from fine_tune.report import TrainReport
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from flows.artifacts import ProgressArtifact, artifact_key, show_training
from flows.progress import counted, say
from flows.run_names import name_training
from scorers.measures.models.loading import resolve_model
from storage.exports_manifest import ExportManifest, read_manifest

FINISHED_EVENT = "sluice.training.finished"


@task(
    task_run_name="train an adapter on {export.name}", cache_policy=NO_CACHE, persist_result=False
)
def train_export(export: Path, target: str, output: Path, settings: TrainSettings) -> TrainReport:
    """Train a LoRA adapter, or find that it is trained already."""
    name = str(read_recipe(export)["name"])
    progress = ProgressArtifact(
        artifact_key(name, "training-progress"), f"training on {export.name}"
    )

    with counted("steps") as work:
        work.at("train", 0, None)

        def on_step(step: int, total: int, loss: float) -> None:
            work.at("train", step, total, f"loss {loss:.3f}")
            progress.at(step, total)

        return train_adapter(export, resolve_model(target).path, output, settings, on_step)


def training_said(manifest: ExportManifest, settings: TrainSettings) -> str:
    """What is trained on what, and how, in a few words."""
    with_what = {"lora": "LoRA", "qlora": "QLoRA", "full": "all weights"}[settings.tune]
    methods = dict.fromkeys(each.method for each in settings.all_methods())
    named = ", ".join([with_what, *methods])
    stages = f", in {len(settings.stages)} stages" if settings.stages else ""
    soup = f", the mean of {settings.soup_size()}" if settings.soup else ""
    return f"{manifest.trained()['train'].rows} rows with {named}{stages}{soup}"


@flow(name="fine-tune", flow_run_name=name_training, persist_result=False)
def fine_tune(
    export: str,
    output: str | None = None,
    train: TrainSettings | None = None,
    target: str | None = None,
) -> None:
    """Train a LoRA adapter on an export, and report back.

    Args:
        export: folder of the export, as this machine sees it.
        output: folder for the training; by default the workspace's models/, or where the export
            lies in no workspace, beside it.
        train: settings; by default those of the recipe that made the export.
        target: the model; by default the one that the export's tokens were counted for. To be given
            where the recipe names it by a directory that starts from the recipe's own.
    """
    folder = Path(export)
    manifest = read_manifest(folder)
    settings = pin_exports(train or recipe_settings(folder), folder)
    model = with_template_of(folder, target or manifest.model.reference)
    place = Path(output) if output else place_of_training(folder, model, settings)
    workspace = workspace_of(folder)
    say(f"train: {training_said(manifest, settings)}, into {place}")
    train_export(folder, model, place, settings)
    # Read from the folder: that has what earlier executions cost, too.
    outcome = read_outcome(place, workspace)
    assert outcome is not None
    show_training(str(read_recipe(folder)["name"]), outcome)
    report_back(outcome)


def report_back(outcome: TrainingOutcome) -> None:
    """Tell whoever listens that a training is done."""
    emit_event(
        event=FINISHED_EVENT,
        resource={
            "prefect.resource.id": f"sluice.training.{outcome.trial_id}",
            "prefect.resource.name": Path(outcome.adapter).name,
        },
        payload=outcome.model_dump(mode="json"),
    )
