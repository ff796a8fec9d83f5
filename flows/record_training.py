"""The flow that writes a finished training into its workspace: what the event of it sets off."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from fine_tune.outcome import TrainingOutcome, finished_outcomes
from flows.progress import say
from flows.run_names import name_record
from storage.database import (
    Connection,
    QueryError,
    WorkspaceMissingError,
    open_workspace,
    read_workspace,
)
from storage.selections import has_export, read_costed_trials, write_trial
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace


@task(
    name="write into the workspace",
    task_run_name="write trial {outcome.trial_id}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def write(outcome: TrainingOutcome, workspace: Workspace) -> None:
    """Write one outcome.

    Raises:
        WorkspaceMissingError: if there is no such workspace on this machine.
        QueryError: if the workspace did not make the export.
    """
    if not workspace.database.exists():
        raise WorkspaceMissingError(
            f"expected a workspace in {workspace.directory} on this machine; where the machine "
            "that trains sees it elsewhere, set `workspace` of the deployment record-training"
        )
    what = f"record of training {outcome.trial_id}"
    with lock_workspace(workspace, what, wait=True, tell=say), open_workspace(workspace) as con:
        if not has_export(con, outcome.export_id):
            raise QueryError(
                f"{workspace.directory} made no export {outcome.export_id}; set `workspace` of "
                "the deployment record-training to the one that did"
            )
        write_outcome(con, outcome)


def write_outcome(con: Connection, outcome: TrainingOutcome) -> None:
    """Write one outcome into `trials`, replacing what was there of the same training."""
    cost = outcome.cost.model_dump(mode="json") if outcome.cost else None
    told = (outcome.report, cost)
    write_trial(con, outcome.trial_id, outcome.export_id, outcome.adapter, told)


@flow(name="record-training", flow_run_name=name_record, persist_result=False)
def record_training(outcome: TrainingOutcome, workspace: str | None = None) -> None:
    """Write what a training came to into the workspace of its export.

    Args:
        outcome: the payload of the event.
        workspace: its directory as this machine sees it; by default as the event says.
    """
    place = workspace or outcome.workspace
    if place is None:
        raise ValueError(
            f"the export of training {outcome.trial_id} lay in no workspace; set `workspace` of "
            "the deployment record-training to the one that made it"
        )
    write(outcome, Workspace(Path(place)))
    say(f"record: training {outcome.trial_id} is in {place}")


def collect_trainings(workspace: Workspace) -> int:
    """Write down finished trainings that no event told of; return how many there were.

    An event can be lost, with the server or with the worker; the folder in models/ is not.
    """
    with read_workspace(workspace) as con:
        known = read_costed_trials(con)
    found = [each for each in finished_outcomes(workspace.directory) if each.trial_id not in known]
    missed = [each for each in found if each.cost is not None]
    if missed:
        with open_workspace(workspace) as con:
            for outcome in missed:
                write_outcome(con, outcome)
    return len(missed)
