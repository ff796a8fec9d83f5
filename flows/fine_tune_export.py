"""The flow that trains on an export: the handoff to the machine that has the GPU.

It needs the export's folder and nothing else: no workspace, no database, no recipe file. It may ask
a person first, and it reports back with an event, which the flow of flows/record_training.py
writes into the workspace.
"""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.events import emit_event
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import Cancelled
from pydantic import Field

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
from storage.exports_manifest import SPLITS, ExportManifest, read_manifest

FINISHED_EVENT = "sluice.training.finished"


class Approval(RunInput):
    """What a person answers before a training starts."""

    approve: bool = Field(default=False, description="Start the training.")
    reason: str = Field(default="", description="Why, or why not; kept in the run's state.")


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
    approval: bool = False,
    output: str | None = None,
    train: TrainSettings | None = None,
    target: str | None = None,
) -> State[None] | None:
    """Train a LoRA adapter on an export, and report back.

    Args:
        export: folder of the export, as this machine sees it.
        approval: wait for a person's answer on the run's page first; nothing runs meanwhile.
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
    if read_outcome(place, workspace) is None and approval:
        answer = ask(folder, manifest, settings)
        if not answer.approve:
            reason = answer.reason or "no reason given"
            say(f"train: not approved: {reason}")
            return Cancelled(message=f"Not approved: {reason}")
        say(f"train: approved. {answer.reason}".strip())
    say(f"train: {training_said(manifest, settings)}, into {place}")
    train_export(folder, model, place, settings)
    # Read from the folder: that has what earlier executions cost, too.
    outcome = read_outcome(place, workspace)
    assert outcome is not None
    show_training(str(read_recipe(folder)["name"]), outcome)
    report_back(outcome)
    return None


def ask(export: Path, manifest: ExportManifest, settings: TrainSettings) -> Approval:
    """Wait for a person; the process ends, and the run starts again from the top when answered."""
    counts = "\n".join(
        f"- {split}: {manifest.counts(split).rows:,} rows, "
        f"{manifest.counts(split).loss_tokens:,} loss tokens"
        for split in SPLITS
    )
    model = Approval.with_initial_data(
        description=f"**Train `{manifest.model.reference}` on `{export.name}`?**\n\n{counts}\n"
        f"- {settings.epochs:g} epochs, LoRA rank {settings.lora_rank}\n"
    )
    return suspend_flow_run(wait_for_input=model, key="approval")


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
