"""The flow that asks a person before a training starts, and starts it once there is a yes.

It runs where the workspace is, since what a person decides by lies there. While it waits its run is
Suspended and has no process. A pulse from before may arrive after the suspension, and none follows
it: so that the run is not taken for a crashed one, it says last of all that it waits, on the same
way as its pulse, and flows/automations.yaml goes by that.
"""

from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.client.schemas import State
from prefect.events import emit_event
from prefect.exceptions import Pause
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import Field

from fine_tune.mixture import pin_exports
from fine_tune.outcome import (
    place_of_training,
    read_outcome,
    recipe_settings,
    with_template_of,
    workspace_of,
)
from fine_tune.settings import TrainSettings
from flows.fine_tune_export import training_said
from flows.progress import say
from flows.proposed_training import proposal_table
from flows.run_names import name_approval
from flows.submit_run import submit_once
from pipeline.export.dataset_card import split_table
from pipeline.reporting.report import read_run_report
from pipeline.text.markdown import code_span
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.exports_manifest import SPLITS, ExportManifest, read_manifest
from storage.workspace import Workspace

DEPLOYMENT = "fine-tune/fine-tune"

ASKED_EVENT = "sluice.training.asked"


class Decision(RunInput):
    """What a person answers. Neither answer stands there already, so none is given by accident."""

    answer: Literal["yes", "no"] = Field(
        title="Train on this export?", description="yes: it starts at once. no: it never does."
    )
    reason: str = Field(
        default="", title="Reason", description="Kept with the run; no answer by itself."
    )


@flow(name="approve-training", flow_run_name=name_approval, persist_result=False)
def approve_training(
    export: str, target: str | None = None, ask_first: bool = True
) -> State[None] | None:
    """Wait for a person's yes or no, and start the training on the machine that has the GPU.

    Args:
        export: folder of the export, in its workspace.
        target: the model; by default the one that the export's tokens were counted for.
        ask_first: false starts the training without asking anybody.
    """
    folder = Path(export)
    manifest = read_manifest(folder)
    settings = pin_exports(recipe_settings(folder), folder)
    model = with_template_of(folder, target or manifest.model.reference)
    place = place_of_training(folder, model, settings)
    if read_outcome(place, workspace_of(folder)) is not None:
        say(f"train: done already, in {place}")
        return None
    if ask_first:
        decision = ask(folder, manifest, model, settings)
        if decision.answer == "no":
            reason = decision.reason or "no reason given"
            say(f"train: not approved: {reason}")
            return Cancelled(message=f"Not approved: {reason}")
        say(f"train: approved. {decision.reason}".strip())
    parameters = {"export": export, **({"target": target} if target else {})}
    key = content_hash([manifest.export_id, model, settings.model_dump(mode="json")])[:16]
    run = submit_once(DEPLOYMENT, f"fine-tune on {folder.name}", parameters, f"train-{key}")
    say(f"train: run {run.name} of {DEPLOYMENT}")
    return None


def ask(export: Path, manifest: ExportManifest, model: str, settings: TrainSettings) -> Decision:
    """Wait for a person; the process ends, and the run starts again from the top when answered."""
    shown = Decision.with_initial_data(
        description=what_to_decide_by(export, manifest, model, settings)
    )
    try:
        return suspend_flow_run(wait_for_input=shown, key="approval")
    except Pause:
        emit_event(ASKED_EVENT, {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"})
        raise


def what_to_decide_by(
    export: Path, manifest: ExportManifest, model: str, settings: TrainSettings
) -> str:
    """What a person is shown, as Markdown: the training, counts, changes, and where the rows are.

    No row is in it: what is shown here lies on the server.
    """
    parts = [
        f"**Train on {training_said(manifest, settings)}?**",
        f"Export {code_span(export)}",
        proposal_table(export, model, settings),
        split_table({split: manifest.counts(split) for split in SPLITS}),
    ]
    if workspace := workspace_of(export):
        place = Workspace(workspace)
        with read_workspace(place) as con:
            report = read_run_report(con, manifest.run_id)
        parts += [part for part in (report.changes, report.evidence, report.trial) if part]
        parts.append(
            "The rows, the funnel and the reasons, on the machine that has the workspace: "
            f"{code_span(place.page_of(manifest.run_id))}, or\n\n"
            f"```bash\nsluice view -w {workspace}\nsluice verify -w {workspace}\n```"
        )
    return "\n\n".join(parts)
