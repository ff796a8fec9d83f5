"""Opening a workspace: migrations, one writer, moves."""

import shutil
import subprocess
import sys
from pathlib import Path
from threading import Timer

import duckdb
import pyarrow as pa
import pytest

from storage.database import (
    Connection,
    WorkspaceBusyError,
    WorkspaceMissingError,
    fetch_count,
    migrate,
    open_workspace,
    read_workspace,
    transaction,
)
from storage.migrations import MIGRATIONS
from storage.workspace import Workspace

ROOT = Path(__file__).parent.parent.parent


def test_migrations_are_applied_once(workspace: Workspace) -> None:
    for _ in range(2):
        with open_workspace(workspace) as con:
            assert fetch_count(con, "select count(*) from migrations") == len(MIGRATIONS)


def test_an_older_workspace_gets_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    older = MIGRATIONS[: MIGRATIONS.index("alter table trials add column cost varchar")]
    with duckdb.connect() as con:
        monkeypatch.setattr("storage.database.MIGRATIONS", older)
        migrate(con)
        monkeypatch.undo()
        migrate(con)
        assert fetch_count(con, "select count(cost) from trials") == 0
        assert fetch_count(con, "select count(*) from migrations") == len(MIGRATIONS)


def test_a_newer_workspace_is_refused(con: Connection) -> None:
    con.execute(f"insert into migrations values ({len(MIGRATIONS)})")
    with pytest.raises(ValueError, match="upgrade Sluice"):
        migrate(con)


def test_a_second_process_is_told_who_has_it(workspace: Workspace) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import storage.database\n"
        "storage.database.PATIENCE_SECONDS = 0.2\n"
        "from storage.database import WorkspaceBusyError, open_workspace\n"
        "from storage.workspace import Workspace\n"
        "try:\n"
        "    with open_workspace(Workspace(Path(sys.argv[2]))): pass\n"
        "except WorkspaceBusyError as error: print(error)\n"
    )
    with open_workspace(workspace):
        command = [sys.executable, "-c", script, str(ROOT), str(workspace.directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "in use by another process" in done.stdout
    assert "PID" in done.stdout


def test_a_reader_does_not_end_a_run(workspace: Workspace) -> None:
    with open_workspace(workspace):
        pass
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from storage.database import read_workspace\n"
        "from storage.workspace import Workspace\n"
        "with read_workspace(Workspace(Path(sys.argv[2]))):\n"
        "    print('reads', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(ROOT), str(workspace.directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reads\n"
        Timer(0.5, reader.stdin.close).start()
        with open_workspace(workspace) as con:
            con.execute("insert into run_sources values ('r', 's')")


def test_no_workspace_is_no_empty_one(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceMissingError, match="sluice run"), read_workspace(workspace):
        pass
    assert not workspace.directory.exists()


def test_reading_cannot_write(workspace: Workspace) -> None:
    with open_workspace(workspace):
        pass
    with read_workspace(workspace) as con, pytest.raises(duckdb.InvalidInputException):
        con.execute("delete from short_examples")


def test_a_failed_transaction_leaves_nothing(con: Connection) -> None:
    with pytest.raises(KeyboardInterrupt), transaction(con):
        con.execute("insert into run_sources values ('r', 's')")
        raise KeyboardInterrupt
    assert fetch_count(con, "select count(*) from run_sources") == 0


def test_busy_is_an_error_of_its_own() -> None:
    assert issubclass(WorkspaceBusyError, RuntimeError)


def test_a_workspace_can_be_moved(workspace: Workspace, tmp_path: Path) -> None:
    with open_workspace(workspace):
        pass
    shutil.move(workspace.directory, tmp_path / "moved")
    with read_workspace(Workspace(tmp_path / "moved")) as con:
        assert fetch_count(con, "select count(*) from measurements") == 0


def test_a_query_never_reads_a_variable_of_that_name(tmp_path: Path) -> None:
    samples = pa.table({"a": [1]})
    missing = pytest.raises(duckdb.CatalogException, match="samples does not exist")
    with open_workspace(Workspace(tmp_path / "w")) as con, missing:
        con.execute("select * from samples")
    assert len(samples) == 1
