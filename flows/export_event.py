"""The end of a run's export: shown on its page, and told to whoever trains on it elsewhere."""

from pathlib import Path

from prefect.events import emit_event

from flows.artifacts import show_export
from flows.begin_run import RunState
from flows.stages import StageName
from pipeline.export.stage import Exported

EXPORTED_EVENT = "sluice.selection.exported"


def hand_over(state: RunState, until: StageName) -> None:
    """Show the export, and tell whoever listens that there is one to train on."""
    exported = state.exported
    assert exported is not None
    show_export(state.recipe.name, exported.path, exported.manifest)
    elsewhere = state.recipe.train is not None and until == "export"
    emit_event(
        event=EXPORTED_EVENT,
        resource={
            "prefect.resource.id": f"sluice.export.{exported.manifest.export_id}",
            "prefect.resource.name": exported.path.name,
            "sluice.train": "elsewhere" if elsewhere else "no",
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
