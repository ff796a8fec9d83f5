"""What doctor makes of a workspace; it changes nothing."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.upkeep.installation_checks import Finding
from pipeline.upkeep.workspace_checks import examine_workspace
from storage.database import open_workspace
from storage.migrations import MIGRATIONS
from storage.workspace import Workspace
from tests.old_workspace import write_old_workspace

ROOT = Path(__file__).parents[3]


def examine(directory: Path) -> dict[str, Finding]:
    return {each.what: each for each in examine_workspace(directory)}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / "workspace")
    with open_workspace(place):
        pass
    return place


def test_a_sound_one(workspace: Workspace) -> None:
    (workspace.requests / "ab").mkdir(parents=True)
    (workspace.requests / "ab" / "x.json").write_bytes(b"x" * 2_000_000)
    found = examine(workspace.directory)
    assert {each.level for each in found.values()} == {"ok"}
    assert "requests 2.0 MB" in found["size"].detail and "database" in found["size"].detail


def test_none_where_one_was_named(tmp_path: Path) -> None:
    assert examine(tmp_path)["workspace"].level == "problem"
    assert list(tmp_path.iterdir()) == []


def test_an_older_one_is_told_and_left_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "old")
    write_old_workspace(workspace)
    before = workspace.database.read_bytes()
    assert examine(workspace.directory)["tables"].level == "warning"
    assert workspace.database.read_bytes() == before


def test_a_newer_one_is_a_problem(workspace: Workspace) -> None:
    with open_workspace(workspace) as con:
        con.execute(f"insert into migrations values ({len(MIGRATIONS)})")
    assert examine(workspace.directory)["tables"].remedy == "upgrade Sluice"


def test_one_that_is_being_written_is_a_warning(workspace: Workspace) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from pipeline.upkeep.workspace_checks import check_schema\n"
        "from storage.workspace import Workspace\n"
        "print(check_schema(Workspace(Path(sys.argv[2]))).level)\n"
    )
    with open_workspace(workspace):
        command = [sys.executable, "-c", script, str(ROOT), str(workspace.directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "warning\n"


def test_one_that_cannot_be_written_is_a_problem(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = examine(workspace.directory)["workspace"]
    assert found.level == "problem" and "Permission denied" in found.detail
