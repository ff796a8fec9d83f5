from pathlib import Path

import orjson
import pytest

from fine_tune.outcome import TrainingOutcome, read_outcome
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from flows.record_training import collect_trainings, record_training, write
from storage.database import QueryError, WorkspaceMissingError, open_workspace, read_workspace
from storage.selections import record_export
from storage.workspace import Workspace
from tests.fine_tune.conftest import tiny_export, tiny_model  # noqa: F401
from tests.stage_runner import start

SETTINGS = TrainSettings(max_steps=1, lora_rank=2)


@pytest.fixture
def trained(
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
    tiny_export: Path,  # noqa: F811
    one_thread: None,
) -> tuple[Workspace, TrainingOutcome]:
    """A workspace in whose models/ lies a training that its trials do not know."""
    (tmp_path / "rows.jsonl").write_bytes(orjson.dumps({"prompt": "a", "completion": "b"}))
    run, _ = start(tmp_path / "work", [tmp_path / "rows.jsonl"])
    folder = run.workspace.models / "adapter-x"
    train_adapter(tiny_export, tiny_model, folder, SETTINGS)
    outcome = read_outcome(folder, run.workspace.directory)
    assert outcome is not None
    with open_workspace(run.workspace) as con:
        record_export(con, outcome.export_id, "s1", "exports/tiny", 12, 345)
    return run.workspace, outcome


def trials(workspace: Workspace) -> list[tuple[object, ...]]:
    with read_workspace(workspace) as con:
        return con.execute(
            "select trial_id, export_id, adapter, report, cost from trials"
        ).fetchall()


def test_a_training_is_collected_once(trained: tuple[Workspace, TrainingOutcome]) -> None:
    workspace, outcome = trained
    assert collect_trainings(workspace) == 1
    ((trial_id, export_id, adapter, report, cost),) = trials(workspace)
    assert trial_id == outcome.trial_id
    assert (export_id, adapter) == (outcome.export_id, "models/adapter-x")
    assert orjson.loads(str(report)) == outcome.report
    assert outcome.cost is not None and orjson.loads(str(cost)) == outcome.cost.model_dump()
    assert collect_trainings(workspace) == 0
    assert len(trials(workspace)) == 1


def test_an_event_goes_where_it_says_and_twice_is_once(
    trained: tuple[Workspace, TrainingOutcome],
) -> None:
    workspace, outcome = trained
    for _ in range(2):
        write.fn(outcome, workspace)
    assert len(trials(workspace)) == 1
    assert collect_trainings(workspace) == 0


def test_an_event_of_another_workspace_is_refused(
    trained: tuple[Workspace, TrainingOutcome], tmp_path: Path
) -> None:
    workspace, outcome = trained
    with pytest.raises(WorkspaceMissingError, match="set `workspace` of the deployment"):
        write.fn(outcome, Workspace(tmp_path / "elsewhere"))
    foreign = outcome.model_copy(update={"export_id": "unknown"})
    with pytest.raises(QueryError, match="made no export unknown"):
        write.fn(foreign, workspace)
    with pytest.raises(ValueError, match="lay in no workspace"):
        record_training.fn(outcome.model_copy(update={"workspace": None}))
    assert trials(workspace) == []
