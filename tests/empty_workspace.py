"""An empty workspace for a test, copied from one that was made once: its tables take a while."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.measuring.catalogue import VIEW_COLUMNS
from storage.database import open_workspace
from storage.views import declare_measures
from storage.workspace import Workspace


@cache
def empty_database(declared: bool) -> bytes:
    """The file of a workspace that was opened once, with or without the views of all measures."""
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        with open_workspace(workspace) as con:
            if declared:
                declare_measures(con, VIEW_COLUMNS)
        return workspace.database.read_bytes()


def lay_out(workspace: Workspace, *, declared: bool = True) -> None:
    """Have a workspace be there, empty where it was not."""
    workspace.directory.mkdir(parents=True, exist_ok=True)
    if not workspace.database.exists():
        workspace.database.write_bytes(empty_database(declared))
