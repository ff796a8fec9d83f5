"""A fresh workspace for each test: a real DuckDB file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Connection, open_workspace
from storage.workspace import Workspace
from tests.empty_workspace import lay_out


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def con(workspace: Workspace) -> Iterator[Connection]:
    lay_out(workspace, declared=False)
    with open_workspace(workspace) as con:
        yield con
