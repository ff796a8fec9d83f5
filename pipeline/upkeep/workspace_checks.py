"""What `sluice doctor` finds of a workspace: whether it can be written, its version, its size."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.upkeep.installation_checks import GIGABYTE, Finding, check_free
from storage.database import WorkspaceBusyError, WorkspaceVersionError, read_schema
from storage.database_file import DatabaseFileError
from storage.workspace import Workspace

# Room that a run should have, beside a copy of the database: shards, an export, a checkpoint.
SPARE_GIGABYTES = 2.0
KINDS = ("measurements", "pending", "exports", "models", "requests", "reports")


def examine_workspace(directory: Path) -> Iterator[Finding]:
    """Everything about one workspace."""
    workspace = Workspace(directory)
    if not workspace.database.exists():
        detail = f"there is none in {directory}"
        yield Finding("problem", "workspace", detail, "`sluice run RECIPE` makes one")
        return
    yield check_writable(workspace)
    yield check_schema(workspace)
    yield check_sizes(workspace)
    needed = SPARE_GIGABYTES + workspace.database.stat().st_size / GIGABYTE
    remedy = f"see what could go: `sluice gc --dry-run -w {directory}`"
    yield check_free(directory, "workspace", needed, remedy)


def check_writable(workspace: Workspace) -> Finding:
    """Whether a file can be written into the workspace."""
    try:
        with tempfile.TemporaryFile(dir=workspace.directory):
            pass
    except OSError as error:
        remedy = "mount it writable, or give its owner back to who runs Sluice"
        return Finding("problem", "workspace", f"{workspace.directory}: {error.strerror}", remedy)
    return Finding("ok", "workspace", f"{workspace.directory} can be written")


def check_schema(workspace: Workspace) -> Finding:
    """Whether the tables are those of this version."""
    try:
        applied, known = read_schema(workspace)
    except WorkspaceBusyError as error:
        detail = str(error).splitlines()[0]
        return Finding("warning", "tables", detail, "ask again when the run has ended")
    except WorkspaceVersionError as error:
        return Finding("problem", "tables", str(error), "upgrade Sluice")
    except DatabaseFileError as error:
        return Finding("problem", "tables", str(error), "the line above says what to do")
    if applied < known:
        detail = f"of an older version: {applied} of {known} migrations"
        remedy = "nothing: the next command copies the database and brings it up to date"
        return Finding("warning", "tables", detail, remedy)
    return Finding("ok", "tables", f"up to date, {known} migrations")


def check_sizes(workspace: Workspace) -> Finding:
    """Megabytes by kind."""
    sizes = {kind: folder_bytes(workspace.directory / kind) for kind in KINDS}
    sizes = {"database": workspace.database.stat().st_size, **sizes}
    shown = ", ".join(f"{kind} {size / 10**6:.1f} MB" for kind, size in sizes.items() if size)
    return Finding("ok", "size", shown)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
