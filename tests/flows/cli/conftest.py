"""A workspace to ask about, and a command line without a server."""

import shutil
from pathlib import Path

import pytest

from storage.database import open_workspace
from storage.retention import write_run_measures
from storage.runs import finish_run
from tests.exported_workspace import export_workspace


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace that has an export."""
    folder = tmp_path_factory.mktemp("exported")
    run, _ = export_workspace(folder)
    with open_workspace(run.workspace) as con:
        write_run_measures(con, run.run_id, run.measures)
        finish_run(con, run.run_id)
    return folder


@pytest.fixture
def workspace(exported: Path, tmp_path: Path) -> Path:
    """A copy of that workspace, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "copy")) / "workspace"


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
