"""The end of a run's export: shown on its page, and told to whoever trains on it elsewhere."""

from pathlib import Path

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

from flows.artifacts import show_export
from flows.begin_run import RunState
from flows.progress import say
from flows.stages import StageName
from pipeline.export.stage import Exported
from storage.conversations import content_hash
from storage.database import open_workspace
from storage.handovers import record_handover, was_handed_over

EXPORTED_EVENT = "sluice.selection.exported"


def hand_over(state: RunState, until: StageName) -> None:
    """Show the export, and tell whoever listens that there is one to train on."""
    exported = state.exported
    assert exported is not None
    show_export(state.recipe.name, exported.path, exported.manifest)
    if state.recipe.train is None or until != "export":
        send_event(state, exported, train="no")
    elif not PREFECT_API_URL.value():  # the server ends with the run, and nobody listens to it
        say("export: PREFECT_API_URL is not set, so nobody is told that there is this to train on")
    else:
        send_once(state, exported)


def send_once(state: RunState, exported: Exported) -> None:
    """Tell whoever trains elsewhere, unless this training was told of before.

    What is recorded is what was sent: a kill in between sends it twice, which ends in one training.
    """
    assert state.recipe.train is not None
    settings = state.recipe.train.model_dump(mode="json")
    key = content_hash([exported.manifest.export_id, state.placed.target, settings])
    with open_workspace(state.run.workspace, views=False) as con:
        if was_handed_over(con, key):
            say("export: handed over before, with the same settings of the training; nothing sent")
            return
    send_event(state, exported, train="elsewhere")
    with open_workspace(state.run.workspace, views=False) as con:
        record_handover(con, key, exported.manifest.export_id, state.run.run_id)


def send_event(state: RunState, exported: Exported, train: str) -> None:
    """Send the event of an export; `train` is what its automation goes by."""
    emit_event(
        event=EXPORTED_EVENT,
        resource={
            "prefect.resource.id": f"sluice.export.{exported.manifest.export_id}",
            "prefect.resource.name": exported.path.name,
            "sluice.train": train,
        },
        payload=export_payload(state, exported),
    )


def export_payload(state: RunState, exported: Exported) -> dict[str, object]:
    """What the event of an export says; paths are absolute."""
    counts, target = exported.manifest.counts("train"), state.placed.target
    return {
        "export": str(exported.path.resolve()),
        "export_id": exported.manifest.export_id,
        "workspace": str(state.run.workspace.directory.resolve()),
        "target": str(Path(target).resolve()) if Path(target).is_dir() else target,
        "recipe": state.recipe.name,
        "run_id": state.run.run_id,
        "rows": counts.rows,
        "loss_tokens": counts.loss_tokens,
    }
